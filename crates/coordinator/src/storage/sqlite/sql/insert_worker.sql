INSERT INTO workers (id, name, kinds, profile, address, registered_at, seen_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
