DELETE FROM latest_metrics WHERE job_id = ?1
