-- All mutable facts of the coordinator. Times are milliseconds since the Unix epoch, ids UUIDv7 text
-- (sorted by time), digests `sha256:<hex>`.

-- The number that rises with every change of any job.
CREATE TABLE revision (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    value INTEGER NOT NULL
) STRICT;
INSERT INTO revision (id, value) VALUES (1, 0);

CREATE TABLE pipelines (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    principal       TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    content         TEXT NOT NULL, -- digest of what was submitted
    created_at      INTEGER NOT NULL,
    UNIQUE (principal, idempotency_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id              TEXT PRIMARY KEY,
    pipeline_id     TEXT NOT NULL REFERENCES pipelines (id),
    name            TEXT NOT NULL,
    kind            TEXT NOT NULL,
    spec            BLOB NOT NULL, -- counterstain.job.v1.JobSpec, resolved
    after           TEXT NOT NULL, -- JSON list of names
    state           TEXT NOT NULL,
    assembled       INTEGER NOT NULL,
    fresh           INTEGER NOT NULL,
    profile         TEXT, -- JSON
    output          TEXT,
    reused          INTEGER NOT NULL,
    failure_code    TEXT,
    failure_message TEXT,
    failed_attempts INTEGER NOT NULL,
    lost_leases     INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    started_at      INTEGER,
    ended_at        INTEGER,
    revision        INTEGER NOT NULL,
    UNIQUE (pipeline_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_by_pipeline ON jobs (pipeline_id, id);
CREATE INDEX jobs_in_hand ON jobs (id) WHERE state IN ('waiting', 'queued', 'running');

CREATE TABLE dependencies (
    job_id   TEXT NOT NULL REFERENCES jobs (id),
    needs_id TEXT NOT NULL REFERENCES jobs (id),
    state    TEXT NOT NULL CHECK (state IN ('open', 'blocking', 'met')),
    PRIMARY KEY (job_id, needs_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependencies_by_needed ON dependencies (needs_id, job_id);

CREATE TABLE parts (
    job_id          TEXT NOT NULL REFERENCES jobs (id),
    part            INTEGER NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('pending', 'leased', 'done', 'failed')),
    fence           INTEGER NOT NULL,
    not_before      INTEGER, -- pending
    worker_id       TEXT,    -- leased
    expires_at      INTEGER, -- leased
    output          TEXT,    -- done
    checkpoint      TEXT,
    checkpoint_step INTEGER,
    failures        INTEGER NOT NULL,
    lost            INTEGER NOT NULL,
    progress        BLOB,    -- counterstain.common.v1.Progress of the latest attempt
    PRIMARY KEY (job_id, part)
) STRICT, WITHOUT ROWID;
CREATE INDEX parts_leased ON parts (expires_at) WHERE state = 'leased';
CREATE INDEX parts_held ON parts (worker_id) WHERE state = 'leased';
CREATE INDEX parts_pending ON parts (not_before) WHERE state = 'pending';

CREATE TABLE metrics (
    job_id   TEXT NOT NULL REFERENCES jobs (id),
    name     TEXT NOT NULL,
    step     INTEGER NOT NULL,
    value    REAL, -- NULL is NaN
    revision INTEGER NOT NULL,
    PRIMARY KEY (job_id, name, step)
) STRICT, WITHOUT ROWID;
CREATE INDEX metrics_by_revision ON metrics (job_id, revision);

-- The metric of the greatest step of each name, so that a list of jobs need not search for it.
CREATE TABLE latest_metrics (
    job_id TEXT NOT NULL REFERENCES jobs (id),
    name   TEXT NOT NULL,
    step   INTEGER NOT NULL,
    value  REAL,
    PRIMARY KEY (job_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE logs (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id   TEXT NOT NULL REFERENCES jobs (id),
    part     INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    sequence INTEGER, -- NULL for lines of the coordinator
    at       INTEGER NOT NULL,
    level    TEXT NOT NULL,
    message  TEXT NOT NULL,
    UNIQUE (job_id, part, attempt, sequence)
) STRICT;
CREATE INDEX logs_by_job ON logs (job_id, id);

CREATE TABLE workers (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    kinds         TEXT NOT NULL, -- JSON list of kind names
    profile       TEXT NOT NULL, -- JSON
    address       TEXT NOT NULL,
    registered_at INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE artifacts (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    digest     TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL,
    key        TEXT,
    manifest   TEXT NOT NULL,
    inputs     TEXT NOT NULL, -- JSON list of digests
    job_id     TEXT,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX artifacts_by_key ON artifacts (key) WHERE key IS NOT NULL;
CREATE INDEX artifacts_by_kind ON artifacts (kind, id);

CREATE TABLE tags (
    tag        TEXT PRIMARY KEY,
    digest     TEXT NOT NULL REFERENCES artifacts (digest),
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_digest ON tags (digest);
