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

-- For people: SELECT * FROM task_log WHERE task_id = '…' ORDER BY position;
-- jsonb cannot hold a NUL, which a message from elsewhere may: one such event must not close the view.
CREATE OR REPLACE VIEW task_log AS
SELECT notification_id AS position, originator_id AS task_id, originator_version AS version,
       topic, replace(convert_from(state, 'UTF8'), '\u0000', '\ufffd')::jsonb AS state
FROM stored_events;

-- Appends a batch in one round trip and one transaction. `events` is an array of objects, one an event,
-- numbered by the append that it belongs to. One row per append comes back: the position of its last
-- event, or NULL where another event has one of its versions.
--
-- The lock makes positions become visible in their order: a position is drawn only while it is held,
-- and it is let go after the commit is visible. Without it a tailer could see 2, go on, and never see
-- the 1 that committed later. It is a function, and no longer transaction of the client's, so that a
-- client that stops half-way cannot hold the lock. Besides eventsourcing's own channel it notifies
-- one for each topic, so that a follower of few topics is not woken by all of them. It takes JSON because the client makes that ten
-- times faster than arrays of parameters.
CREATE OR REPLACE FUNCTION tts_append(events json)
RETURNS TABLE (append int, last_position bigint) LANGUAGE plpgsql AS $body$
DECLARE
    result record;
BEGIN
    PERFORM pg_advisory_xact_lock(7721001);
    NOTIFY stored_events;
    FOR result IN
        WITH given AS (
            SELECT * FROM ROWS FROM (json_to_recordset(events) AS (
                append int, id uuid, version bigint, topic text, state text,
                text text, instruction text, salt text
            )) WITH ORDINALITY AS g (append, id, version, topic, state, text, instruction, salt, n)
        ), inserted AS (
            INSERT INTO stored_events AS e (originator_id, originator_version, topic, state)
            SELECT g.id, g.version, g.topic, convert_to(g.state, 'UTF8') FROM given g ORDER BY g.n
            ON CONFLICT DO NOTHING
            RETURNING e.originator_id AS id, e.originator_version AS version, e.notification_id
        ), said AS (
            INSERT INTO payloads (task_id, text, instruction, salt)
            SELECT g.id, g.text, g.instruction, g.salt
            FROM given g JOIN inserted i ON i.id = g.id AND i.version = g.version
            WHERE g.text IS NOT NULL
        )
        SELECT g.append, count(*) AS wanted, count(i.id) AS got, max(i.notification_id) AS last,
               array_agg(g.topic) AS topics
        FROM given g LEFT JOIN inserted i ON i.id = g.id AND i.version = g.version
        GROUP BY g.append ORDER BY g.append
    LOOP
        IF result.got > 0 AND result.got < result.wanted THEN
            RAISE EXCEPTION 'an append of several events fits only in part' USING ERRCODE = 'TT001';
        END IF;
        PERFORM pg_notify(topic, '') FROM unnest(result.topics) AS topic;
        append := result.append;
        last_position := result.last;
        RETURN NEXT;
    END LOOP;
END;
$body$;
