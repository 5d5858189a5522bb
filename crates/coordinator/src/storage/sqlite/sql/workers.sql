-- One worker (?1), or all that were seen since ?2; each with what it holds.
SELECT workers.*, held.job_id AS held_job, held.part AS held_part
FROM workers
LEFT JOIN parts AS held ON held.worker_id = workers.id AND held.state = 'leased'
WHERE (?1 IS NULL OR workers.id = ?1) AND workers.seen_at >= ?2
GROUP BY workers.id
ORDER BY workers.id
