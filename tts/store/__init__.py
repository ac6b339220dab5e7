"""The event store: group commit, tailer, SQLite and PostgreSQL."""
