SELECT DISTINCT name FROM pictures WHERE job_id = ?1
