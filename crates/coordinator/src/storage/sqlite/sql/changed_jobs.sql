SELECT id, revision
FROM jobs
WHERE id IN (SELECT value FROM json_each(?1)) AND revision > ?2
ORDER BY revision
