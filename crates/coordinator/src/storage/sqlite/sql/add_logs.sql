-- ?2 is a JSON list of [part, attempt, sequence, at, level, message].
INSERT INTO logs (job_id, part, attempt, sequence, at, level, message)
SELECT ?1, new.value ->> 0, new.value ->> 1, new.value ->> 2, new.value ->> 3, new.value ->> 4, new.value ->> 5
FROM json_each(?2) AS new
WHERE TRUE
ON CONFLICT (job_id, part, attempt, sequence) DO NOTHING
