-- stored_events is the table of eventsourcing's SQLiteApplicationRecorder: its rowid is the position.
-- Never VACUUM this file: that may renumber the rows.
CREATE TABLE IF NOT EXISTS stored_events (
    originator_id TEXT,
    originator_version INTEGER,
    topic TEXT,
    state BLOB,
    PRIMARY KEY (originator_id, originator_version)
);

-- What people said, apart from the log, so that it can be erased for good. Rows are appended and, to
-- erase them, overwritten in place; none is deleted: moving rows between pages, as a deletion or an
-- insertion in the middle does, leaves copies behind that secure_delete does not see.
CREATE TABLE IF NOT EXISTS payloads (
    task_id TEXT PRIMARY KEY,
    text TEXT NOT NULL,
    instruction TEXT NOT NULL,
    salt TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS checkpoints (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) WITHOUT ROWID;

-- Who is at work, as each process last told of itself, and when each kind of part was last heard of at all;
-- times in seconds since 1970.
CREATE TABLE IF NOT EXISTS roster (
    part TEXT NOT NULL,
    name TEXT NOT NULL,
    at REAL NOT NULL,
    facts TEXT NOT NULL,
    PRIMARY KEY (part, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS roster_last (
    part TEXT PRIMARY KEY,
    at REAL NOT NULL
) WITHOUT ROWID;

-- What the processes of this log share and nobody else knows; made once.
CREATE TABLE IF NOT EXISTS secrets (
    name TEXT PRIMARY KEY,
    key BLOB NOT NULL,
    position INTEGER NOT NULL
) WITHOUT ROWID;

-- Where the log began anew behind a loss, see tts/ports/epochs.py; the first row is the log's beginning.
CREATE TABLE IF NOT EXISTS log_epochs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    survived INTEGER NOT NULL,
    first INTEGER NOT NULL,
    began TEXT NOT NULL
);

-- For people: SELECT * FROM task_log WHERE task_id = '…' ORDER BY position;
CREATE VIEW IF NOT EXISTS task_log AS
SELECT rowid AS position, originator_id AS task_id, originator_version AS version,
       topic, json(CAST(state AS TEXT)) AS state
FROM stored_events;

-- Who is to be told that a task is over, and how far that has come; times in seconds since 1970.
CREATE TABLE IF NOT EXISTS callbacks (
    task_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    url TEXT NOT NULL,
    host TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    began DOUBLE PRECISION NOT NULL,
    due DOUBLE PRECISION,
    updated DOUBLE PRECISION NOT NULL,
    problem TEXT,
    PRIMARY KEY (task_id, version)
);
CREATE INDEX IF NOT EXISTS callbacks_due ON callbacks (due) WHERE due IS NOT NULL;
CREATE INDEX IF NOT EXISTS callbacks_updated ON callbacks (updated);

-- Archives that events of tasks which are long over were moved into, see tts/ports/archive.py: how many tasks'
-- are out of the log, and the newest position among them. No row: the log is whole.
CREATE TABLE IF NOT EXISTS archives (
    name TEXT PRIMARY KEY,
    tasks INTEGER NOT NULL,
    position INTEGER NOT NULL,
    done INTEGER NOT NULL
) WITHOUT ROWID;

-- What is kept of each of those tasks: no event can be appended to it, and it can be answered for.
CREATE TABLE IF NOT EXISTS archived_tasks (
    task_id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    version INTEGER NOT NULL,
    position INTEGER NOT NULL,
    archive TEXT NOT NULL,
    facts TEXT NOT NULL
) WITHOUT ROWID;
