-- Keeps the pictures of the ?1 jobs that sent some last.
DELETE FROM pictures
WHERE job_id NOT IN (
  SELECT job_id FROM pictures GROUP BY job_id ORDER BY MAX(id) DESC LIMIT ?1
)
