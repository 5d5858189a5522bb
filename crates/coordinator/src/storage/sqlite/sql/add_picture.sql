INSERT OR IGNORE INTO pictures (job_id, name, step, panels, png)
VALUES (?1, ?2, ?3, ?4, ?5)
