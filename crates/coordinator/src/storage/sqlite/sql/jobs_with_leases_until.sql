SELECT DISTINCT job_id AS id FROM parts WHERE state = 'leased' AND expires_at <= ?1
