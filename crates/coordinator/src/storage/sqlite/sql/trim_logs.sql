-- Keeps the latest ?2 lines.
DELETE FROM logs
WHERE job_id = ?1
  AND id <= (SELECT id FROM logs WHERE job_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)
