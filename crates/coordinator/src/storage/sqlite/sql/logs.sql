SELECT id, part, attempt, sequence, at, level, message
FROM logs
WHERE job_id = ?1 AND id > ?2
ORDER BY id
LIMIT ?3
