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

-- For people: SELECT * FROM task_log WHERE task_id = '…' ORDER BY position;
CREATE VIEW IF NOT EXISTS task_log AS
SELECT rowid AS position, originator_id AS task_id, originator_version AS version,
       topic, json(CAST(state AS TEXT)) AS state
FROM stored_events;
