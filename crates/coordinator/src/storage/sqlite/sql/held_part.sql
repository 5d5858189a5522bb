SELECT job_id, part, fence FROM parts WHERE worker_id = ?1 AND state = 'leased' LIMIT 1
