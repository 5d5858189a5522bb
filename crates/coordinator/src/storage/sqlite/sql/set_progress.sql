UPDATE parts SET progress = ?3 WHERE job_id = ?1 AND part = ?2
