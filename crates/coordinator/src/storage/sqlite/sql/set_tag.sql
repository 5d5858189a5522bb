INSERT INTO tags (tag, digest, changed_at)
VALUES (?1, ?2, ?3)
ON CONFLICT (tag) DO UPDATE
SET digest = excluded.digest, changed_at = excluded.changed_at
