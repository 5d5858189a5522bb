SELECT job_id, needs_id, state
FROM dependencies
WHERE job_id IN (SELECT value FROM json_each(?1)) AND state <> 'met'
