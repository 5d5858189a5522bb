-- Jobs that wait to be divided into parts, and those whose parts are all done but whose output is not made.
SELECT id
FROM jobs
WHERE (state = 'waiting'
       AND NOT EXISTS (SELECT 1 FROM dependencies WHERE job_id = jobs.id AND state <> 'met'))
   OR (state = 'running' AND assembled = 1
       AND NOT EXISTS (SELECT 1 FROM parts WHERE job_id = jobs.id AND state <> 'done'))
ORDER BY id
