-- The read models, in SQL that SQLite and PostgreSQL both understand. Nothing here says what a person
-- said, and all of it can be dropped and rebuilt from the log.

-- How far each projection has come; written in the transaction that writes its rows.
CREATE TABLE IF NOT EXISTS rm_positions (
    name text PRIMARY KEY,
    position bigint NOT NULL
);

-- Times are ISO 8601 in UTC: their order as bytes is their order in time.
CREATE TABLE IF NOT EXISTS rm_tasks (
    task_id text COLLATE "C" PRIMARY KEY,
    owner text NOT NULL,
    template_id text NOT NULL,
    created_at text COLLATE "C" NOT NULL,
    status text NOT NULL,
    attempt integer NOT NULL,
    code text,
    step text,
    message text,
    object_key text,
    size bigint,
    duration double precision,
    updated_at text NOT NULL,
    completed_at text,
    retry_at text,
    position bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS rm_tasks_newest ON rm_tasks (owner, created_at, task_id);
CREATE INDEX IF NOT EXISTS rm_tasks_newest_of_all ON rm_tasks (created_at, task_id);
CREATE INDEX IF NOT EXISTS rm_tasks_status ON rm_tasks (owner, status, created_at, task_id);
CREATE INDEX IF NOT EXISTS rm_tasks_template ON rm_tasks (owner, template_id, created_at, task_id);

-- Tasks that failed, until they are retried, dismissed or erased; version is the one they failed at.
CREATE TABLE IF NOT EXISTS rm_dead_letters (
    task_id text COLLATE "C" PRIMARY KEY,
    owner text NOT NULL,
    template_id text NOT NULL,
    failed_at text COLLATE "C" NOT NULL,
    code text NOT NULL,
    step text NOT NULL,
    permanent boolean NOT NULL,
    version integer NOT NULL
);
CREATE INDEX IF NOT EXISTS rm_dead_letters_newest ON rm_dead_letters (failed_at, task_id);
CREATE INDEX IF NOT EXISTS rm_dead_letters_owner ON rm_dead_letters (owner, failed_at, task_id);
CREATE INDEX IF NOT EXISTS rm_dead_letters_code ON rm_dead_letters (code, failed_at, task_id);

-- Counting a million rows takes too long for a metric.
CREATE TABLE IF NOT EXISTS rm_task_counts (
    status text PRIMARY KEY,
    tasks bigint NOT NULL
);

-- What each owner took on each day (UTC). Seconds are kept in milliseconds: whole numbers add up to
-- the same in every order.
CREATE TABLE IF NOT EXISTS rm_usage (
    owner text COLLATE "C" NOT NULL,
    day text COLLATE "C" NOT NULL,
    tasks bigint NOT NULL,
    characters bigint NOT NULL,
    predictions bigint NOT NULL,
    predict_ms bigint NOT NULL,
    audio_ms bigint NOT NULL,
    PRIMARY KEY (owner, day)
);
CREATE INDEX IF NOT EXISTS rm_usage_day ON rm_usage (day);
CREATE TABLE IF NOT EXISTS rm_usage_owners (
    owner text COLLATE "C" PRIMARY KEY,
    unfinished bigint NOT NULL
);
-- Tasks to which something may still happen that counts: only their first event names the owner.
CREATE TABLE IF NOT EXISTS rm_usage_tasks (
    task_id text COLLATE "C" PRIMARY KEY,
    owner text NOT NULL,
    billed text NOT NULL
);
