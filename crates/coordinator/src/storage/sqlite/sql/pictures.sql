SELECT name, step, panels, png
FROM pictures
WHERE job_id = ?1
ORDER BY id DESC
