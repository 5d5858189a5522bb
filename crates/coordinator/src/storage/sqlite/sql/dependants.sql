SELECT job_id AS id FROM dependencies WHERE needs_id = ?1 ORDER BY job_id
