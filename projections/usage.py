"""The read model "usage": what each owner took on each day, and how many of its tasks go on."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from projections.ports import State, Transaction
from projections.table import Table
from tts.domain.task import Task
from tts.ports.log import Recorded

NAME = "usage"
SUMS = ("tasks", "characters", "predictions", "predict_ms", "audio_ms")
DAY_LENGTH = len("2025-01-31")

# Days are those of UTC. Seconds are kept in milliseconds: whole numbers add up to the same in every
# order. A sum stays when its task is erased: it says no word.
DAYS = Table(
    "usage_days",
    {
        "owner": 'text COLLATE "C" NOT NULL',
        "day": 'text COLLATE "C" NOT NULL',
        **dict.fromkeys(SUMS, "bigint NOT NULL"),
    },
    key=("owner", "day"),
    sums=frozenset(SUMS),
    indexes={"day": "(day)"},
)
OWNERS = Table(
    "usage_owners",
    {"owner": 'text COLLATE "C"', "unfinished": "bigint NOT NULL"},
    key=("owner",),
    sums=frozenset({"unfinished"}),
)


@dataclass(slots=True)
class OpenTask:
    """Whose task it is, and the segments whose prediction has been counted with its seconds."""

    owner: str
    billed: set[int] = field(default_factory=set)


class UsageProjection:
    """Adds events up by owner and day."""

    name = NAME
    version = 2
    topics = frozenset(
        {
            Task.Requested.TOPIC,
            Task.RetryRequested.TOPIC,
            Task.PredictionCreated.TOPIC,
            Task.DownloadStarted.TOPIC,
            Task.Succeeded.TOPIC,
            Task.Failed.TOPIC,
            Task.Canceled.TOPIC,
        }
    )
    tables = (DAYS, OWNERS)

    def story(self, requested: Recorded, state: State) -> OpenTask:
        """See :class:`projections.ports.Projection`."""
        del requested
        return OpenTask(state["owner"])

    def batch(self) -> UsageBatch:
        """See :class:`projections.ports.Projection`."""
        return UsageBatch()


class UsageBatch:
    """What a batch of events adds up to."""

    def __init__(self) -> None:
        self._days: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._unfinished: Counter[str] = Counter()

    def add(self, story: OpenTask, event: Recorded, state: State) -> None:
        """See :class:`projections.ports.Batch`."""
        match event.topic:
            case Task.Requested.TOPIC:
                self._count(story, state, tasks=1, characters=state["text_length"])
                self._unfinished[story.owner] += 1
            case Task.RetryRequested.TOPIC:
                self._unfinished[story.owner] += 1
            case Task.PredictionCreated.TOPIC:
                self._count(story, state, predictions=1)
                story.billed.discard(state["segment"])
            case Task.DownloadStarted.TOPIC:
                # It comes again when an output has moved; the prediction is paid for once.
                if state["segment"] not in story.billed:
                    story.billed.add(state["segment"])
                    self._count(story, state, predict_ms=_milliseconds(state["predict_time"]))
            case Task.Succeeded.TOPIC:
                self._unfinished[story.owner] -= 1
                self._count(story, state, audio_ms=_milliseconds(state["duration"]))
            case Task.Failed.TOPIC | Task.Canceled.TOPIC:
                self._unfinished[story.owner] -= 1

    def _count(self, story: OpenTask, state: State, **sums: int) -> None:
        day = self._days[story.owner, state["timestamp"][:DAY_LENGTH]]
        for name, number in sums.items():
            day[name] += number

    async def write(self, transaction: Transaction, place: int) -> None:
        """See :class:`projections.ports.Batch`."""
        days = [
            {"owner": owner, "day": day, **{name: sums[name] for name in SUMS}}
            for (owner, day), sums in self._days.items()
        ]
        owners = [{"owner": o, "unfinished": n} for o, n in self._unfinished.items()]
        if days:
            await transaction.write(DAYS, place, days)
        if owners:
            await transaction.write(OWNERS, place, owners)


def _milliseconds(seconds: float | None) -> int:
    return round(1000 * (seconds or 0))
