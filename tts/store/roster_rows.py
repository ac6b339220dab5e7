"""What the rows of the roster's two tables say, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from tts.ports.roster import Attendance, Heard, Notice


def attendance(rows: Iterable[tuple[Any, ...]]) -> Attendance:
    """Rows of part, name, facts, time and age; those without a name are a part's last signs."""
    heard, last = [], {}
    for part, name, facts, at, age in rows:
        if name is None:
            last[part] = at
        else:
            heard.append(Heard(Notice(part, name, orjson.loads(facts)), at, max(age, 0.0)))
    return Attendance(heard, last)
