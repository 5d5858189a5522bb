SELECT needs_id AS id FROM dependencies WHERE job_id = ?1 ORDER BY needs_id
