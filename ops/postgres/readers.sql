-- What tts_reader may see, once the service has made its tables; again after an upgrade that makes new ones:
--   psql -d tts -v ON_ERROR_STOP=1 -f readers.sql
--   CREATE ROLE anna LOGIN PASSWORD '…' IN ROLE tts_reader;
-- Not here: payloads (what people said), secrets, callbacks (addresses of clients), shared_documents.
GRANT SELECT ON stored_events, task_log, checkpoints, log_epochs, schema_versions TO tts_reader;
GRANT SELECT ON roster, roster_last TO tts_reader;
GRANT SELECT ON read_models, read_tasks, read_task_counts, read_dead_letters, read_dead_letter_counts TO tts_reader;
GRANT SELECT ON read_usage_days, read_usage_owners, read_stats, read_templates TO tts_reader;
