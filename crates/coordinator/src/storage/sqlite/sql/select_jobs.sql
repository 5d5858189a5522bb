SELECT jobs.*, pipelines.name AS pipeline_name
FROM jobs
JOIN pipelines ON pipelines.id = jobs.pipeline_id
WHERE jobs.id IN (SELECT value FROM json_each(?1))
