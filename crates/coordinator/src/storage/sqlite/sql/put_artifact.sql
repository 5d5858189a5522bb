INSERT INTO artifacts (digest, kind, key, manifest, inputs, job_id, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (digest) DO UPDATE
SET job_id = COALESCE(artifacts.job_id, excluded.job_id)
