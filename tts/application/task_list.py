"""Which tasks a list is to show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSelection:
    """Which tasks; None is all. They were created at ``since`` or later, and before ``until``.

    ``id_prefix`` is how their ids begin: at least as many characters as few tasks share.
    """

    owner: str | None = None
    status: str | None = None
    template_id: str | None = None
    code: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    id_prefix: str | None = None
