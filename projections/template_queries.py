"""What the gateway asks the read model "templates" for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from projections.queries import Queries
from projections.templates import NAME


@dataclass(frozen=True, slots=True)
class TemplatePage:
    """Templates by name, under wire names, and where the next page starts."""

    templates: list[dict[str, Any]]
    next_cursor: str | None
    position: int


class TemplateQueries(Queries):
    """Which templates are used."""

    name = NAME

    async def page(self, *, owner: str | None, cursor: str | None, limit: int) -> TemplatePage:
        """The owner's, or everybody's together, behind the template that ``cursor`` names."""
        position = await self.position()  # before the rows, which may be newer, never older
        conditions, params = ["template_id > ?"], [cursor or ""]
        if owner is not None:
            conditions.append("owner = ?")
            params.append(owner)
        sql = (
            "SELECT template_id, max(last_used_at), sum(tasks), sum(succeeded), "  # noqa: S608
            f"sum(failed), sum(canceled) FROM read_templates WHERE {' AND '.join(conditions)} "
            "GROUP BY template_id ORDER BY template_id LIMIT ?"
        )
        rows = await self._database.fetch(sql, [*params, limit + 1])
        templates = [_template(*row) for row in rows[:limit]]
        following = templates[-1]["templateId"] if len(rows) > limit else None
        return TemplatePage(templates, following, position)


def _template(template_id: str, last_used_at: str, *sums: int) -> dict[str, Any]:
    tasks, succeeded, failed, canceled = map(int, sums)
    ended = succeeded + failed
    return {
        "templateId": template_id,
        "lastUsedAt": last_used_at,
        "tasks": tasks,
        "succeeded": succeeded,
        "failed": failed,
        "canceled": canceled,
        "failureRate": round(failed / ended, 4) if ended else None,
    }
