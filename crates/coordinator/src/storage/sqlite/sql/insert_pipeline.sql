INSERT INTO pipelines (id, name, principal, idempotency_key, content, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
