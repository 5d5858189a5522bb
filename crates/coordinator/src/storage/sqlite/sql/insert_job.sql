INSERT INTO jobs (id, pipeline_id, name, kind, spec, after, state, assembled, fresh, reused,
                  failed_attempts, lost_leases, created_at, revision)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0, 0, ?10, ?11)
