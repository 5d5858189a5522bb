INSERT INTO dependencies (job_id, needs_id, state) VALUES (?1, ?2, 'open')
