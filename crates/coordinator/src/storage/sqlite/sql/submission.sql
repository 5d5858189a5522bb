SELECT id, content FROM pipelines WHERE principal = ?1 AND idempotency_key = ?2
