"""What the gateway asks the read model "stats" for: a series of spans of time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from projections import histogram
from projections.queries import Queries
from projections.stats import DAY, DURATIONS, HOUR, MINUTE, NAME, STATS, Sums, merge

SPANS = {"minute": MINUTE, "hour": HOUR, "day": DAY}
_REST = {MINUTE: ":00+00:00", HOUR: ":00:00+00:00", DAY: "T00:00:00+00:00"}
_FINER = {HOUR: MINUTE, DAY: HOUR}
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
COUNTS = ("accepted", "succeeded", "canceled", "retries")


@dataclass(frozen=True, slots=True)
class Series:
    """Spans of time in order, under wire names, without those in which nothing happened."""

    points: list[dict[str, Any]]
    position: int


class StatsQueries(Queries):
    """Series by minute, hour or day, of everybody or of one owner, of all templates or of one."""

    name = NAME

    async def series(
        self, *, span: str, since: str, until: str, owner: str | None, template_id: str | None
    ) -> Series:
        """The spans from that of ``since`` up to ``until``; both are ISO 8601 in UTC."""
        # Before the rows, which may be newer, never older.
        position, place = await self._standing()
        table, length = STATS.at(place), SPANS[span]
        newest = f"SELECT max(start) FROM {table} WHERE span = ?"  # noqa: S608 -- a name of ours
        now = (await self._database.fetch(newest, (MINUTE,)))[0][0] or ""
        sql = f"SELECT start, sums FROM {table} WHERE span = ? AND start >= ? AND start < ?"  # noqa: S608
        narrow: list[str] = []
        for column, value in (("owner", owner), ("template_id", template_id)):
            if value is not None:
                sql += f" AND {column} = ?"
                narrow.append(value)
        spans: defaultdict[str, Sums] = defaultdict(dict)
        for finer, begin in _finer(length, now):
            params = (finer, max(begin, since[:length]), until, *narrow)
            for start, sums in await self._database.fetch(sql, params):
                merge(spans[start[:length]], orjson.loads(sums))
        return Series([_point(start, spans[start]) for start in sorted(spans)], position)


def _finer(span: int, now: str) -> Iterator[tuple[int, str]]:
    """The kinds of rows that a series is made of, and from where on each.

    What has not been added up yet stands in finer rows.
    """
    begin = ""
    while True:
        yield span, begin
        if span == MINUTE:
            return
        begin, span = now[:span], _FINER[span]


def _point(start: str, sums: Sums) -> dict[str, Any]:
    failures = sums.get("failed", {})
    return {
        "start": start + _REST[len(start)],
        **{name: sums.get(name, 0) for name in COUNTS},
        "failed": sum(failures.values()),
        "failures": dict(sorted(failures.items(), key=lambda each: (-each[1], each[0]))),
        **{name: _durations(sums.get(name)) for name in DURATIONS},
    }


def _durations(counts: dict[str, int] | None) -> dict[str, float] | None:
    if not counts:
        return None
    return {
        "count": sum(counts.values()),
        **{name: histogram.quantile(counts, share) for name, share in SHARES.items()},
    }
