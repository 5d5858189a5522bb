-- The first free part of each job that suits the worker, oldest job first.
SELECT jobs.id, MIN(parts.part) AS part
FROM jobs
JOIN parts ON parts.job_id = jobs.id
WHERE jobs.state IN ('queued', 'running')
  AND jobs.kind IN (SELECT value FROM json_each(?1))
  AND (jobs.profile IS NULL OR jobs.profile = ?2)
  AND parts.state = 'pending'
  AND parts.not_before <= ?3
GROUP BY jobs.id
ORDER BY jobs.id
LIMIT ?4
