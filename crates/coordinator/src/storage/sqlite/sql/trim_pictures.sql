-- Keeps the latest ?3 of a name.
DELETE FROM pictures
WHERE job_id = ?1 AND name = ?2
  AND id <= (
    SELECT id FROM pictures WHERE job_id = ?1 AND name = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3
  )
