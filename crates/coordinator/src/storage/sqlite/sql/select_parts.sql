SELECT * FROM parts WHERE job_id IN (SELECT value FROM json_each(?1)) ORDER BY job_id, part
