SELECT job_id, name, value FROM latest_metrics WHERE job_id IN (SELECT value FROM json_each(?1))
