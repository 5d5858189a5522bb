SELECT step, name, value
FROM metrics
WHERE job_id = ?1
  AND (?2 IS NULL OR name IN (SELECT value FROM json_each(?2)))
  AND revision > ?3 AND revision <= ?4
ORDER BY step, name
