"""The event store on SQLite and on PostgreSQL: group commit, log, tailer, coordination.

An adapter: it implements ports, and knows no other adapter.
"""
