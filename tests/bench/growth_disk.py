"""What a task takes on the disk, by what it is for."""

from __future__ import annotations

from tests.services.stores import Backend

_SQLITE = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name"
_POSTGRES = (
    "SELECT c.relname, pg_relation_size(c.oid) FROM pg_class c "
    "JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'i') AND n.nspname = current_schema()"
)
LEAST = 20.0  # bytes a task; less is not worth a line


def show(backend: Backend, tasks: int) -> None:
    """Print bytes a task of each table and index, the largest first."""
    sizes = backend.sql(_SQLITE if backend.is_sqlite else _POSTGRES)
    if backend.is_sqlite:
        models = Backend(f"sqlite:///{backend.path.with_suffix('.read.db')}")
        sizes += models.sql(_SQLITE)
    of_a_task = sorted(((size / tasks, name) for name, size in sizes), reverse=True)
    total = sum(size for size, _ in of_a_task)
    print(f"{'on disk':>20}: {total:8.0f} bytes a task")  # noqa: T201
    for size, name in of_a_task:
        if size >= LEAST:
            print(f"{size:>30.0f} {name}")  # noqa: T201
