-- stored_events is the table of eventsourcing's PostgresApplicationRecorder.
CREATE TABLE IF NOT EXISTS stored_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text,
    state bytea,
    notification_id bigserial,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_enabled = true,
    autovacuum_vacuum_threshold = 100000000,
    autovacuum_vacuum_scale_factor = 0.5,
    autovacuum_analyze_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.01
);
CREATE UNIQUE INDEX IF NOT EXISTS stored_events_notification_id_idx
    ON stored_events (notification_id ASC);

-- What people said, apart from the log, so that it can be erased for good.
CREATE TABLE IF NOT EXISTS payloads (
    task_id uuid PRIMARY KEY,
    text text NOT NULL,
    instruction text NOT NULL,
    salt text NOT NULL
);

CREATE TABLE IF NOT EXISTS checkpoints (
    name text PRIMARY KEY,
    position bigint NOT NULL
);

-- Small states that the processes share, such as the one of the gate before Replicate. They may be lost.
CREATE TABLE IF NOT EXISTS shared_documents (
    name text PRIMARY KEY,
    body bytea NOT NULL,
    version bigint NOT NULL
) WITH (fillfactor = 20);

-- Who is at work, as each process last told of itself, and when each kind of part was last heard of at all;
-- times by the clock of this server. They may be lost.
CREATE TABLE IF NOT EXISTS roster (
    part text NOT NULL,
    name text NOT NULL,
    at timestamptz NOT NULL,
    facts text NOT NULL,
    PRIMARY KEY (part, name)
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS roster_last (
    part text PRIMARY KEY,
    at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- What the processes of this log share and nobody else knows; made once.
CREATE TABLE IF NOT EXISTS secrets (
    name text PRIMARY KEY,
    key bytea NOT NULL,
    position bigint NOT NULL
);

-- For people: SELECT * FROM task_log WHERE task_id = '…' ORDER BY position;
-- jsonb cannot hold a NUL, which a message from elsewhere may: one such event must not close the view.
CREATE OR REPLACE VIEW task_log AS
SELECT notification_id AS position, originator_id AS task_id, originator_version AS version,
       topic, replace(convert_from(state, 'UTF8'), '\u0000', '\ufffd')::jsonb AS state
FROM stored_events;

-- Where the log began anew behind a loss, see tts/ports/epochs.py; the first row is the log's beginning.
CREATE TABLE IF NOT EXISTS log_epochs (
    number bigint PRIMARY KEY,
    id uuid NOT NULL,
    incarnation text NOT NULL,
    survived bigint NOT NULL,
    first bigint NOT NULL,
    began timestamptz NOT NULL
);

-- What the server is since it was last promoted or made: no commit of another incarnation can be trusted
-- to be here. Where a hosted server does not say, only those notice a loss who have seen more. A server
-- that is no primary raises 55000, and one that is stays the same until its sessions have ended.
CREATE OR REPLACE FUNCTION tts_incarnation() RETURNS text LANGUAGE plpgsql AS $body$
DECLARE
    here text := current_setting('tts.incarnation', true);
BEGIN
    IF here <> '' THEN
        RETURN here;
    END IF;
    BEGIN
        here := (SELECT system_identifier FROM pg_control_system())
            || ' ' || left(pg_walfile_name(pg_current_wal_lsn()), 8);
    EXCEPTION WHEN insufficient_privilege OR feature_not_supported THEN
        here := 'unknown';
    END;
    RETURN set_config('tts.incarnation', here, false);
END;
$body$;

-- The number of the log's present epoch. A new one begins here, whoever notices first: with another
-- incarnation of the server, or when somebody has seen a position that the log does not reach. It is one
-- transaction with the first append of the new epoch, so that none is ever made in the old one.
CREATE OR REPLACE FUNCTION tts_epoch(seen bigint DEFAULT 0) RETURNS bigint LANGUAGE plpgsql AS $body$
DECLARE
    here text := tts_incarnation();
    present log_epochs;
    newest bigint;
    leap bigint := 0;
BEGIN
    SELECT * INTO present FROM log_epochs ORDER BY number DESC LIMIT 1;
    IF present.incarnation = here AND (
        seen = 0 OR seen <= (SELECT max(notification_id) FROM stored_events)
    ) THEN
        RETURN present.number;
    END IF;
    PERFORM pg_advisory_xact_lock(7721001);
    SELECT * INTO present FROM log_epochs ORDER BY number DESC LIMIT 1;
    SELECT coalesce(max(notification_id), 0) INTO newest FROM stored_events;
    IF present.incarnation = here AND (
        seen <= newest OR EXISTS (SELECT FROM log_epochs WHERE survived < seen AND seen < first)
    ) THEN
        RETURN present.number;
    END IF;
    IF present.number IS NOT NULL THEN
        leap := greatest(
            greatest(newest, seen) + 1000000000, extract(epoch FROM clock_timestamp()) * 1000000
        );
        PERFORM setval(pg_get_serial_sequence('stored_events', 'notification_id'), leap, false);
    END IF;
    INSERT INTO log_epochs VALUES (
        coalesce(present.number + 1, 0), gen_random_uuid(), here,
        CASE WHEN leap > 0 THEN newest ELSE 0 END, leap, clock_timestamp()
    );
    RETURN coalesce(present.number + 1, 0);
END;
$body$;

-- Saves a checkpoint of somebody who knows the log up to `seen`, and says where the log ended if that is
-- gone: then nothing is saved.
CREATE OR REPLACE FUNCTION tts_save_checkpoint(checkpoint text, at bigint, seen bigint) RETURNS bigint
LANGUAGE plpgsql AS $body$
DECLARE
    gone bigint;
BEGIN
    PERFORM tts_epoch();
    SELECT min(survived) INTO gone FROM log_epochs WHERE survived < seen AND seen < first;
    IF gone IS NULL THEN
        INSERT INTO checkpoints AS c VALUES (checkpoint, at) ON CONFLICT (name) DO UPDATE
        SET position = greatest(c.position, excluded.position);
    END IF;
    RETURN gone;
END;
$body$;

-- The channel on which appends are told, for the log's secret.
CREATE OR REPLACE FUNCTION tts_news(key bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $body$
    SELECT 'tts_news_' || left(encode(sha256('news'::bytea || key), 'hex'), 40)
$body$;

-- Appends a batch in one round trip and one transaction. `events` is an array of objects, one an event,
-- numbered by the append that it belongs to. An append fits if its task's newest version is the one
-- before its first. One row per append comes back: the position of its last event, which may have been
-- there already (the reply to a commit can be lost), or NULL where it does not fit.
--
-- The lock makes positions become visible in their order: a position is drawn only while it is held,
-- and it is let go after the commit is visible. Without it a tailer could see 2, go on, and never see
-- the 1 that committed later. It is a function, and no longer transaction of the client's, so that a
-- client that stops half-way cannot hold the lock. On a channel that only those know who can read the log's
-- secret (every role may notify, and listen) it tells what was appended, if that is short enough: [epoch,
-- position before, [[position, task, version, topic, state], …]], so that nobody has to read it. Another channel
-- for each topic is for a follower of few; eventsourcing has its own. It takes JSON because
-- the client makes that ten times faster than arrays of parameters. Planning takes longer than a small
-- batch, so the plan is kept: it must not be one for the empty table that the session may begin with.
CREATE OR REPLACE FUNCTION tts_append(events json)
RETURNS TABLE (append int, last_position bigint) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $body$
DECLARE
    result record;
    epoch bigint;
    before bigint;
    news text := (SELECT tts_news(key) FROM secrets WHERE name = 'tasks');
    told text := '';
    short bool := octet_length(events::text) < 7000;
BEGIN
    PERFORM pg_advisory_xact_lock(7721001);
    epoch := tts_epoch();
    SELECT coalesce(max(notification_id), 0) INTO before FROM stored_events;
    NOTIFY stored_events;
    FOR result IN
        WITH given AS (
            SELECT * FROM ROWS FROM (json_to_recordset(events) AS (
                append int, id uuid, version bigint, topic text, state text,
                text text, instruction text, salt text
            )) WITH ORDINALITY AS g (append, id, version, topic, state, text, instruction, salt, n)
        ), heads AS (
            SELECT g.append, min(g.version) = 1 + coalesce((
                SELECT max(e.originator_version) FROM stored_events e WHERE e.originator_id = g.id
            ), 0) AND (min(g.version) > 1 OR NOT EXISTS (
                SELECT FROM archived_tasks t WHERE t.task_id = g.id
            )) AS fits
            FROM given g GROUP BY g.append, g.id
        ), inserted AS (
            INSERT INTO stored_events AS e (originator_id, originator_version, topic, state)
            SELECT g.id, g.version, g.topic, convert_to(g.state, 'UTF8')
            FROM given g JOIN heads h ON h.append = g.append AND h.fits ORDER BY g.n
            RETURNING e.originator_id AS id, e.originator_version AS version, e.notification_id
        ), said AS (
            INSERT INTO payloads (task_id, text, instruction, salt)
            SELECT g.id, g.text, g.instruction, g.salt
            FROM given g JOIN heads h ON h.append = g.append AND h.fits
            WHERE g.text IS NOT NULL
        ), placed AS (
            SELECT g.*, h.fits, CASE WHEN h.fits THEN i.notification_id ELSE (
                SELECT e.notification_id FROM stored_events e
                WHERE e.originator_id = g.id AND e.originator_version = g.version
                AND e.topic = g.topic AND e.state = convert_to(g.state, 'UTF8')
            ) END AS position
            FROM given g JOIN heads h ON h.append = g.append
            LEFT JOIN inserted i ON i.id = g.id AND i.version = g.version
        )
        SELECT p.append, array_agg(p.topic) AS topics,
               CASE WHEN count(p.position) = count(*) THEN max(p.position) END AS last,
               string_agg(
                   json_build_array(p.position, p.id, p.version, p.topic, p.state)::text,
                   ',' ORDER BY p.position
               ) FILTER (WHERE p.fits AND short) AS told
        FROM placed p GROUP BY p.append ORDER BY p.append
    LOOP
        PERFORM pg_notify(topic, '') FROM unnest(result.topics) AS topic;
        told := concat_ws(',', nullif(told, ''), result.told);
        append := result.append;
        last_position := result.last;
        RETURN NEXT;
    END LOOP;
    told := format('[%s,%s,[%s]]', epoch, before, told);
    PERFORM pg_notify(news, CASE WHEN short AND octet_length(told) < 8000 THEN told ELSE '' END);
END;
$body$;

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
    name text PRIMARY KEY,
    tasks bigint NOT NULL,
    position bigint NOT NULL,
    done boolean NOT NULL
);

-- What is kept of each of those tasks: no event can be appended to it, and it can be answered for.
CREATE TABLE IF NOT EXISTS archived_tasks (
    task_id uuid PRIMARY KEY,
    owner text NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    archive text NOT NULL,
    facts text NOT NULL
);

-- Takes tasks out of the log that stand in the archive `target` and have not changed since they were written
-- there; says which ones those were. The log's newest event stays: positions go on from there. It takes the lock
-- of appends, or one of those could come in between; so it is called with few tasks at a time. The service's
-- own role has no right to delete events, which makes this the work of the tables' owner.
CREATE OR REPLACE FUNCTION tts_archive(target text, chosen json) RETURNS uuid[] LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $body$
DECLARE
    moved uuid[];
BEGIN
    PERFORM pg_advisory_xact_lock(7721001);
    WITH given AS (
        SELECT g.* FROM json_to_recordset(chosen) AS g (
            id uuid, owner text, version bigint, "position" bigint, facts text
        )
        WHERE g.version = (
            SELECT max(e.originator_version) FROM stored_events e WHERE e.originator_id = g.id
        ) AND g."position" < (SELECT max(e.notification_id) FROM stored_events e)
    ), kept AS (
        INSERT INTO archived_tasks
        SELECT g.id, g.owner, g.version, g."position", target, g.facts FROM given g
    ), gone AS (
        DELETE FROM stored_events e USING given g WHERE e.originator_id = g.id
    ), counted AS (
        SELECT coalesce(array_agg(g.id), '{}') AS ids, count(*) AS tasks,
               coalesce(max(g."position"), 0) AS newest
        FROM given g
    )
    UPDATE archives a SET tasks = a.tasks + c.tasks, "position" = greatest(a."position", c.newest)
    FROM counted c WHERE a.name = target RETURNING c.ids INTO STRICT moved;
    RETURN moved;
END;
$body$;
