-- Newest first; an absent filter is NULL, a present one a JSON list.
SELECT id
FROM jobs
WHERE (?1 IS NULL OR state IN (SELECT value FROM json_each(?1)))
  AND (?2 IS NULL OR kind IN (SELECT value FROM json_each(?2)))
  AND (?3 IS NULL OR pipeline_id = ?3)
  AND (?4 IS NULL OR id < ?4)
ORDER BY id DESC
LIMIT ?5
