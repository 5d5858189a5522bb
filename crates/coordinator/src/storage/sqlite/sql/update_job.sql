UPDATE jobs
SET spec = ?2, state = ?3, fresh = ?4, profile = ?5, output = ?6, reused = ?7, failure_code = ?8,
    failure_message = ?9, failed_attempts = ?10, lost_leases = ?11, started_at = ?12, ended_at = ?13,
    revision = ?14
WHERE id = ?1
