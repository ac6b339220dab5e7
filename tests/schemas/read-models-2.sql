DROP TABLE IF EXISTS rm_positions;
DROP TABLE IF EXISTS rm_tasks;
DROP TABLE IF EXISTS rm_dead_letters;
DROP TABLE IF EXISTS rm_task_counts;
DROP TABLE IF EXISTS rm_usage;
DROP TABLE IF EXISTS rm_usage_owners;
DROP TABLE IF EXISTS rm_usage_tasks;
CREATE TABLE IF NOT EXISTS read_models (
    name text NOT NULL,
    place integer NOT NULL,
    version integer NOT NULL,
    position bigint NOT NULL,
    serving boolean NOT NULL,
    trouble text,
    began_at text NOT NULL,
    PRIMARY KEY (name, place)
);
CREATE TABLE IF NOT EXISTS read_tasks_1 (task_id text COLLATE "C", owner text NOT NULL, template_id text NOT NULL, created_at text COLLATE "C" NOT NULL, status text NOT NULL, phase text NOT NULL, attempt integer NOT NULL, code text, step text, message text, object_key text, size bigint, duration double precision, updated_at text NOT NULL, completed_at text, retry_at text, position bigint NOT NULL, PRIMARY KEY (task_id));
CREATE INDEX IF NOT EXISTS read_tasks_1_newest ON read_tasks_1 (created_at, task_id);
CREATE INDEX IF NOT EXISTS read_tasks_1_phase ON read_tasks_1 (phase, created_at, task_id);
CREATE INDEX IF NOT EXISTS read_tasks_1_template ON read_tasks_1 (template_id, created_at, task_id);
CREATE INDEX IF NOT EXISTS read_tasks_1_code ON read_tasks_1 (code, created_at, task_id) WHERE code IS NOT NULL;
CREATE INDEX IF NOT EXISTS read_tasks_1_owner ON read_tasks_1 (owner, created_at, task_id);
CREATE INDEX IF NOT EXISTS read_tasks_1_owner_phase ON read_tasks_1 (owner, phase, created_at, task_id);
CREATE INDEX IF NOT EXISTS read_tasks_1_owner_template ON read_tasks_1 (owner, template_id, created_at, task_id);
CREATE TABLE IF NOT EXISTS read_tasks_2 (task_id text COLLATE "C", owner text NOT NULL, template_id text NOT NULL, created_at text COLLATE "C" NOT NULL, status text NOT NULL, phase text NOT NULL, attempt integer NOT NULL, code text, step text, message text, object_key text, size bigint, duration double precision, updated_at text NOT NULL, completed_at text, retry_at text, position bigint NOT NULL, PRIMARY KEY (task_id));
CREATE INDEX IF NOT EXISTS read_tasks_2_newest ON read_tasks_2 (created_at, task_id);
CREATE INDEX IF NOT EXISTS read_tasks_2_phase ON read_tasks_2 (phase, created_at, task_id);
CREATE INDEX IF NOT EXISTS read_tasks_2_template ON read_tasks_2 (template_id, created_at, task_id);
CREATE INDEX IF NOT EXISTS read_tasks_2_code ON read_tasks_2 (code, created_at, task_id) WHERE code IS NOT NULL;
CREATE INDEX IF NOT EXISTS read_tasks_2_owner ON read_tasks_2 (owner, created_at, task_id);
CREATE INDEX IF NOT EXISTS read_tasks_2_owner_phase ON read_tasks_2 (owner, phase, created_at, task_id);
CREATE INDEX IF NOT EXISTS read_tasks_2_owner_template ON read_tasks_2 (owner, template_id, created_at, task_id);
DROP VIEW IF EXISTS read_tasks;
CREATE VIEW read_tasks AS SELECT task_id, owner, template_id, created_at, status, phase, attempt, code, step, message, object_key, size, duration, updated_at, completed_at, retry_at, position FROM read_tasks_1 WHERE (SELECT serving FROM read_models WHERE name = 'tasks' AND place = 1) UNION ALL SELECT task_id, owner, template_id, created_at, status, phase, attempt, code, step, message, object_key, size, duration, updated_at, completed_at, retry_at, position FROM read_tasks_2 WHERE (SELECT serving FROM read_models WHERE name = 'tasks' AND place = 2);
CREATE TABLE IF NOT EXISTS read_task_counts_1 (status text, tasks bigint NOT NULL, PRIMARY KEY (status));
CREATE TABLE IF NOT EXISTS read_task_counts_2 (status text, tasks bigint NOT NULL, PRIMARY KEY (status));
DROP VIEW IF EXISTS read_task_counts;
CREATE VIEW read_task_counts AS SELECT status, tasks FROM read_task_counts_1 WHERE (SELECT serving FROM read_models WHERE name = 'tasks' AND place = 1) UNION ALL SELECT status, tasks FROM read_task_counts_2 WHERE (SELECT serving FROM read_models WHERE name = 'tasks' AND place = 2);
CREATE TABLE IF NOT EXISTS read_dead_letters_1 (task_id text COLLATE "C", owner text NOT NULL, template_id text NOT NULL, failed_at text COLLATE "C" NOT NULL, code text NOT NULL, step text NOT NULL, permanent boolean NOT NULL, version integer NOT NULL, PRIMARY KEY (task_id));
CREATE INDEX IF NOT EXISTS read_dead_letters_1_newest ON read_dead_letters_1 (failed_at, task_id);
CREATE INDEX IF NOT EXISTS read_dead_letters_1_owner ON read_dead_letters_1 (owner, failed_at, task_id);
CREATE INDEX IF NOT EXISTS read_dead_letters_1_code ON read_dead_letters_1 (code, failed_at, task_id);
CREATE INDEX IF NOT EXISTS read_dead_letters_1_template ON read_dead_letters_1 (template_id, failed_at, task_id);
CREATE TABLE IF NOT EXISTS read_dead_letters_2 (task_id text COLLATE "C", owner text NOT NULL, template_id text NOT NULL, failed_at text COLLATE "C" NOT NULL, code text NOT NULL, step text NOT NULL, permanent boolean NOT NULL, version integer NOT NULL, PRIMARY KEY (task_id));
CREATE INDEX IF NOT EXISTS read_dead_letters_2_newest ON read_dead_letters_2 (failed_at, task_id);
CREATE INDEX IF NOT EXISTS read_dead_letters_2_owner ON read_dead_letters_2 (owner, failed_at, task_id);
CREATE INDEX IF NOT EXISTS read_dead_letters_2_code ON read_dead_letters_2 (code, failed_at, task_id);
CREATE INDEX IF NOT EXISTS read_dead_letters_2_template ON read_dead_letters_2 (template_id, failed_at, task_id);
DROP VIEW IF EXISTS read_dead_letters;
CREATE VIEW read_dead_letters AS SELECT task_id, owner, template_id, failed_at, code, step, permanent, version FROM read_dead_letters_1 WHERE (SELECT serving FROM read_models WHERE name = 'dead_letters' AND place = 1) UNION ALL SELECT task_id, owner, template_id, failed_at, code, step, permanent, version FROM read_dead_letters_2 WHERE (SELECT serving FROM read_models WHERE name = 'dead_letters' AND place = 2);
CREATE TABLE IF NOT EXISTS read_dead_letter_counts_1 (owner text NOT NULL, code text NOT NULL, letters bigint NOT NULL, PRIMARY KEY (owner, code));
CREATE TABLE IF NOT EXISTS read_dead_letter_counts_2 (owner text NOT NULL, code text NOT NULL, letters bigint NOT NULL, PRIMARY KEY (owner, code));
DROP VIEW IF EXISTS read_dead_letter_counts;
CREATE VIEW read_dead_letter_counts AS SELECT owner, code, letters FROM read_dead_letter_counts_1 WHERE (SELECT serving FROM read_models WHERE name = 'dead_letters' AND place = 1) UNION ALL SELECT owner, code, letters FROM read_dead_letter_counts_2 WHERE (SELECT serving FROM read_models WHERE name = 'dead_letters' AND place = 2);
CREATE TABLE IF NOT EXISTS read_usage_days_1 (owner text COLLATE "C" NOT NULL, day text COLLATE "C" NOT NULL, tasks bigint NOT NULL, characters bigint NOT NULL, predictions bigint NOT NULL, predict_ms bigint NOT NULL, audio_ms bigint NOT NULL, PRIMARY KEY (owner, day));
CREATE INDEX IF NOT EXISTS read_usage_days_1_day ON read_usage_days_1 (day);
CREATE TABLE IF NOT EXISTS read_usage_days_2 (owner text COLLATE "C" NOT NULL, day text COLLATE "C" NOT NULL, tasks bigint NOT NULL, characters bigint NOT NULL, predictions bigint NOT NULL, predict_ms bigint NOT NULL, audio_ms bigint NOT NULL, PRIMARY KEY (owner, day));
CREATE INDEX IF NOT EXISTS read_usage_days_2_day ON read_usage_days_2 (day);
DROP VIEW IF EXISTS read_usage_days;
CREATE VIEW read_usage_days AS SELECT owner, day, tasks, characters, predictions, predict_ms, audio_ms FROM read_usage_days_1 WHERE (SELECT serving FROM read_models WHERE name = 'usage' AND place = 1) UNION ALL SELECT owner, day, tasks, characters, predictions, predict_ms, audio_ms FROM read_usage_days_2 WHERE (SELECT serving FROM read_models WHERE name = 'usage' AND place = 2);
CREATE TABLE IF NOT EXISTS read_usage_owners_1 (owner text COLLATE "C", unfinished bigint NOT NULL, PRIMARY KEY (owner));
CREATE TABLE IF NOT EXISTS read_usage_owners_2 (owner text COLLATE "C", unfinished bigint NOT NULL, PRIMARY KEY (owner));
DROP VIEW IF EXISTS read_usage_owners;
CREATE VIEW read_usage_owners AS SELECT owner, unfinished FROM read_usage_owners_1 WHERE (SELECT serving FROM read_models WHERE name = 'usage' AND place = 1) UNION ALL SELECT owner, unfinished FROM read_usage_owners_2 WHERE (SELECT serving FROM read_models WHERE name = 'usage' AND place = 2);
CREATE TABLE IF NOT EXISTS read_stats_1 (span integer NOT NULL, start text COLLATE "C" NOT NULL, owner text NOT NULL, template_id text NOT NULL, sums text NOT NULL, PRIMARY KEY (span, start, owner, template_id));
CREATE TABLE IF NOT EXISTS read_stats_2 (span integer NOT NULL, start text COLLATE "C" NOT NULL, owner text NOT NULL, template_id text NOT NULL, sums text NOT NULL, PRIMARY KEY (span, start, owner, template_id));
DROP VIEW IF EXISTS read_stats;
CREATE VIEW read_stats AS SELECT span, start, owner, template_id, sums FROM read_stats_1 WHERE (SELECT serving FROM read_models WHERE name = 'stats' AND place = 1) UNION ALL SELECT span, start, owner, template_id, sums FROM read_stats_2 WHERE (SELECT serving FROM read_models WHERE name = 'stats' AND place = 2);
CREATE TABLE IF NOT EXISTS read_templates_1 (owner text NOT NULL, template_id text COLLATE "C" NOT NULL, last_used_at text COLLATE "C" NOT NULL, tasks bigint NOT NULL, succeeded bigint NOT NULL, failed bigint NOT NULL, canceled bigint NOT NULL, PRIMARY KEY (owner, template_id));
CREATE TABLE IF NOT EXISTS read_templates_2 (owner text NOT NULL, template_id text COLLATE "C" NOT NULL, last_used_at text COLLATE "C" NOT NULL, tasks bigint NOT NULL, succeeded bigint NOT NULL, failed bigint NOT NULL, canceled bigint NOT NULL, PRIMARY KEY (owner, template_id));
DROP VIEW IF EXISTS read_templates;
CREATE VIEW read_templates AS SELECT owner, template_id, last_used_at, tasks, succeeded, failed, canceled FROM read_templates_1 WHERE (SELECT serving FROM read_models WHERE name = 'templates' AND place = 1) UNION ALL SELECT owner, template_id, last_used_at, tasks, succeeded, failed, canceled FROM read_templates_2 WHERE (SELECT serving FROM read_models WHERE name = 'templates' AND place = 2);
DELETE FROM read_models;
DELETE FROM read_tasks_1;
DELETE FROM read_task_counts_1;
DELETE FROM read_dead_letters_1;
DELETE FROM read_dead_letter_counts_1;
DELETE FROM read_usage_days_1;
DELETE FROM read_usage_owners_1;
DELETE FROM read_stats_1;
DELETE FROM read_templates_1;
INSERT INTO read_models (name, place, version, position, serving, trouble, began_at) VALUES ('tasks', 1, 0, 0, TRUE, NULL, '');
INSERT INTO read_models (name, place, version, position, serving, trouble, began_at) VALUES ('dead_letters', 1, 0, 0, TRUE, NULL, '');
INSERT INTO read_models (name, place, version, position, serving, trouble, began_at) VALUES ('usage', 1, 0, 0, TRUE, NULL, '');
INSERT INTO read_models (name, place, version, position, serving, trouble, began_at) VALUES ('stats', 1, 0, 0, TRUE, NULL, '');
INSERT INTO read_models (name, place, version, position, serving, trouble, began_at) VALUES ('templates', 1, 0, 0, TRUE, NULL, '');
