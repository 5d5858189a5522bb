DELETE FROM metrics WHERE job_id = ?1
