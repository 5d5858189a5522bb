-- ?2 is a JSON list of [name, step, value]. A replayed step replaces nothing.
INSERT INTO metrics (job_id, name, step, value, revision)
SELECT ?1, new.value ->> 0, new.value ->> 1, CAST(new.value ->> 2 AS REAL), ?3
FROM json_each(?2) AS new
WHERE TRUE
ON CONFLICT (job_id, name, step) DO NOTHING
