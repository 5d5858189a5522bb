SELECT id FROM jobs WHERE pipeline_id = ?1 ORDER BY id
