-- The latest pictures of what jobs make, for people. `id` is the order in which they came.
CREATE TABLE pictures (
    id     INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL REFERENCES jobs (id),
    name   TEXT NOT NULL,
    step   INTEGER NOT NULL,
    panels TEXT NOT NULL, -- JSON list of names
    png    BLOB NOT NULL,
    UNIQUE (job_id, name, step)
) STRICT;
