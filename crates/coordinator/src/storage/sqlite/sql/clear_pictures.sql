DELETE FROM pictures WHERE job_id = ?1
