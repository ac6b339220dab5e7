"""The read model "stats": what happens and how long it takes, by minute, hour and day.

Each row adds up what ended in a span of time, for one owner and template. What happens is added to
its minute. When an hour is over its minutes are added up, and when a day is over its hours; minutes
and hours are then kept for a while. The time is that of the newest event: the rows are the same
whenever they are made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from projections import histogram
from projections.ports import State, Transaction
from projections.table import Table
from tts.domain.task import Task
from tts.ports.log import Recorded

NAME = "stats"
MINUTE, HOUR, DAY = (len(t) for t in ("2025-01-31T12:00", "2025-01-31T12", "2025-01-31"))
KEPT = {MINUTE: timedelta(days=1), HOUR: timedelta(days=35)}  # days are kept for ever
DURATIONS = ("queueWait", "prediction", "download", "store", "total", "firstAudio")

# ``start`` is as much of the ISO 8601 time as tells the span; its length is the kind of span.
STATS = Table(
    "stats",
    {
        "span": "integer NOT NULL",
        "start": 'text COLLATE "C" NOT NULL',
        "owner": "text NOT NULL",
        "template_id": "text NOT NULL",
        "sums": "text NOT NULL",
    },
    key=("span", "start", "owner", "template_id"),
)

Sums = dict[str, Any]
"""Numbers under names, or under names of names: how many failed of each code, the histograms."""
Key = tuple[str, str, str]  # start, owner, template


def merge(sums: Sums, more: Sums) -> None:
    """Add ``more`` to ``sums``."""
    for name, value in more.items():
        if isinstance(value, dict):
            merge(sums.setdefault(name, {}), value)
        else:
            sums[name] = sums.get(name, 0) + value


@dataclass(slots=True)
class Life:
    """What a task's durations are measured from; ``durations`` are those of this round so far."""

    owner: str
    template_id: str
    round_at: str
    is_claimed: bool = False
    predicted_at: dict[int, str] = field(default_factory=dict)
    download_at: dict[int, str] = field(default_factory=dict)
    downloaded_at: str | None = None
    first_audio_at: str | None = None
    durations: list[tuple[str, int]] = field(default_factory=list)

    def measure(self, name: str, since: str | None, until: str) -> None:
        """Take down a duration, if it is known when it began."""
        if since is not None:
            duration = datetime.fromisoformat(until) - datetime.fromisoformat(since)
            self.durations.append((name, round(duration.total_seconds() * 1000)))

    def begin_round(self, at: str) -> None:
        """Measure from here on: the task is asked for, again."""
        self.round_at, self.is_claimed = at, False
        self.downloaded_at = self.first_audio_at = None
        self.durations = []


class StatsProjection:
    """Adds up what happens, and the durations of each round of a task when it ends."""

    name = NAME
    version = 1
    topics = frozenset(
        {
            Task.Requested.TOPIC,
            Task.Dequeued.TOPIC,
            Task.RetryStarted.TOPIC,
            Task.PredictionCreated.TOPIC,
            Task.DownloadStarted.TOPIC,
            Task.DownloadCompleted.TOPIC,
            Task.RetryScheduled.TOPIC,
            Task.RetryRequested.TOPIC,
            Task.Succeeded.TOPIC,
            Task.Failed.TOPIC,
            Task.Canceled.TOPIC,
        }
    )
    tables = (STATS,)

    def story(self, requested: Recorded, state: State) -> Life:
        """See :class:`projections.ports.Projection`."""
        del requested
        return Life(state["owner"], state["template_id"], state["timestamp"])

    def batch(self) -> StatsBatch:
        """See :class:`projections.ports.Projection`."""
        return StatsBatch()


class StatsBatch:
    """What a batch of events adds up to, by minute."""

    def __init__(self) -> None:
        self._minutes: defaultdict[Key, Sums] = defaultdict(dict)

    def add(self, story: Life, event: Recorded, state: State) -> None:  # noqa: C901 -- a table
        """See :class:`projections.ports.Batch`."""
        at = state["timestamp"]
        match event.topic:
            case Task.Requested.TOPIC:
                self._count(story, at, {"accepted": 1})
            case Task.Dequeued.TOPIC | Task.RetryStarted.TOPIC:
                if not story.is_claimed:
                    story.is_claimed = True
                    story.measure("queueWait", story.round_at, at)
            case Task.PredictionCreated.TOPIC:
                story.predicted_at[state["segment"]] = at
            case Task.DownloadStarted.TOPIC:
                story.measure("prediction", story.predicted_at.pop(state["segment"], None), at)
                story.download_at[state["segment"]] = at
            case Task.DownloadCompleted.TOPIC:
                story.measure("download", story.download_at.pop(state["segment"], None), at)
                story.downloaded_at = at
                if state.get("part") and state["segment"] == 0:
                    story.first_audio_at = at
            case Task.RetryScheduled.TOPIC:
                self._count(story, at, {"retries": 1})
            case Task.RetryRequested.TOPIC:
                story.begin_round(at)
                self._count(story, at, {"retries": 1})
            case Task.Succeeded.TOPIC:
                story.measure("store", story.downloaded_at, at)
                story.measure("total", story.round_at, at)
                story.measure("firstAudio", story.round_at, story.first_audio_at or at)
                self._end(story, at, {"succeeded": 1})
            case Task.Failed.TOPIC:
                self._end(story, at, {"failed": {state["code"]: 1}})
            case Task.Canceled.TOPIC:
                self._end(story, at, {"canceled": 1})

    def _end(self, story: Life, at: str, sums: Sums) -> None:
        minute = self._minutes[at[:MINUTE], story.owner, story.template_id]
        merge(minute, sums)
        for name, milliseconds in story.durations:
            counts = minute.setdefault(name, {})
            bucket = histogram.bucket(milliseconds)
            counts[bucket] = counts.get(bucket, 0) + 1
        story.durations = []

    def _count(self, story: Life, at: str, sums: Sums) -> None:
        merge(self._minutes[at[:MINUTE], story.owner, story.template_id], sums)

    async def write(self, transaction: Transaction, place: int) -> None:
        """See :class:`projections.ports.Batch`."""
        if self._minutes:
            await _Rows(transaction, place).add(self._minutes)


class _Rows:
    """The rows in one place."""

    def __init__(self, transaction: Transaction, place: int) -> None:
        self._transaction = transaction
        self._place = place
        self._table = STATS.at(place)

    async def add(self, minutes: dict[Key, Sums]) -> None:
        """Add minutes up, then the hours and days that are over, and remove what is old."""
        before = await self._newest()
        now = max(before, *(start for start, _, _ in minutes))
        # What comes late is for hours and days that were added up before.
        hours = _added_up(HOUR, (each for each in minutes.items() if each[0][0] < before[:HOUR]))
        days = _added_up(DAY, (each for each in hours.items() if each[0][0] < before[:DAY]))
        await self._merge(MINUTE, _kept(MINUTE, minutes, before))
        await self._merge(HOUR, _kept(HOUR, hours, before))
        await self._merge(DAY, days)
        if before[:HOUR] < now[:HOUR]:
            since = before or min(start for start, _, _ in minutes)
            await self._add_up(MINUTE, HOUR, since, now)
            await self._add_up(HOUR, DAY, since, now)
            for span in KEPT:
                await self._transaction.execute(
                    f"DELETE FROM {self._table} WHERE span = ? AND start < ?",  # noqa: S608
                    (span, _horizon(span, now)),
                )

    async def _add_up(self, span: int, longer: int, since: str, until: str) -> None:
        """Make the rows of the longer spans that ended between two times, if any did."""
        if since[:longer] == until[:longer]:
            return
        rows = await self._transaction.fetch(
            "SELECT start, owner, template_id, sums "  # noqa: S608 -- a name of ours
            f"FROM {self._table} WHERE span = ? AND start >= ? AND start < ?",
            (span, since[:longer], until[:longer]),
        )
        finer = [((start, owner, name), orjson.loads(sums)) for start, owner, name, sums in rows]
        await self._write(longer, _added_up(longer, finer))

    async def _merge(self, span: int, added: dict[Key, Sums]) -> None:
        if not added:
            return
        marks = ", ".join(["(?, ?, ?)"] * len(added))
        rows = await self._transaction.fetch(
            "SELECT start, owner, template_id, sums "  # noqa: S608 -- made of names and marks
            f"FROM {self._table} WHERE span = ? "
            f"AND (start, owner, template_id) IN (VALUES {marks})",
            [span, *(part for key in added for part in key)],
        )
        for start, owner, template_id, sums in rows:
            merge(added[start, owner, template_id], orjson.loads(sums))
        await self._write(span, added)

    async def _write(self, span: int, added: dict[Key, Sums]) -> None:
        rows = [
            {
                "span": span,
                "start": start,
                "owner": owner,
                "template_id": template_id,
                "sums": orjson.dumps(sums, option=orjson.OPT_SORT_KEYS).decode(),
            }
            for (start, owner, template_id), sums in added.items()
        ]
        if rows:
            await self._transaction.write(STATS, self._place, rows)

    async def _newest(self) -> str:
        rows = await self._transaction.fetch(
            f"SELECT max(start) FROM {self._table} WHERE span = ?",  # noqa: S608 -- a name of ours
            (MINUTE,),
        )
        return rows[0][0] or ""


def _added_up(span: int, finer: Iterable[tuple[Key, Sums]]) -> dict[Key, Sums]:
    longer: defaultdict[Key, Sums] = defaultdict(dict)
    for (start, owner, template_id), sums in finer:
        merge(longer[start[:span], owner, template_id], sums)
    return dict(longer)


def _kept(span: int, sums: dict[Key, Sums], now: str) -> dict[Key, Sums]:
    horizon = _horizon(span, now)
    return {key: value for key, value in sums.items() if key[0] >= horizon}


def _horizon(span: int, now: str) -> str:
    """What starts before it is not kept; it moves on with the hours."""
    if not now:
        return ""
    return (datetime.fromisoformat(now[:HOUR]) - KEPT[span]).isoformat()[:span]
