UPDATE dependencies SET state = ?3 WHERE job_id = ?1 AND needs_id = ?2
