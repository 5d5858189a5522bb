INSERT INTO latest_metrics (job_id, name, step, value)
SELECT ?1, new.value ->> 0, new.value ->> 1, CAST(new.value ->> 2 AS REAL)
FROM json_each(?2) AS new
WHERE TRUE
ON CONFLICT (job_id, name) DO UPDATE
SET step = excluded.step, value = excluded.value
WHERE excluded.step > latest_metrics.step
