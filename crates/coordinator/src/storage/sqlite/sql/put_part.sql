-- Progress belongs to an attempt: a new one begins without.
INSERT INTO parts (job_id, part, state, fence, not_before, worker_id, expires_at, output, checkpoint,
                   checkpoint_step, checkpoint_fence, failures, lost)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
ON CONFLICT (job_id, part) DO UPDATE
SET progress = CASE WHEN parts.fence = excluded.fence THEN parts.progress END,
    state = excluded.state, fence = excluded.fence, not_before = excluded.not_before,
    worker_id = excluded.worker_id, expires_at = excluded.expires_at, output = excluded.output,
    checkpoint = excluded.checkpoint, checkpoint_step = excluded.checkpoint_step,
    checkpoint_fence = excluded.checkpoint_fence, failures = excluded.failures, lost = excluded.lost
