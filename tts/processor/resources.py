"""What the processor talks to, in one bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from eventsourcing.persistence import StoredEvent

from tts.domain.retry import RetryPolicy
from tts.gate.gate import Gate
from tts.gate.storing import Storing
from tts.ports.audio import AudioStore
from tts.ports.log import Log, Recorded
from tts.ports.speech import Predictions, Templates
from tts.ports.tracing import NO_TRACING, Tracing
from tts.processor.durations import Durations
from tts.processor.forgotten_predictions import ForgottenPredictions
from tts.processor.kept_audio import KeptAudio
from tts.processor.prediction_owners import PredictionOwners
from tts.processor.recorded_predictions import RecordedPredictions
from tts.processor.wakeups import Wakeups
from tts.processor.workplace import Workplace


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How a step went: how long it took, and its error's code, empty if there was none."""

    step: str
    seconds: float
    code: str


Witness = Callable[[Sequence[StoredEvent]], None]
"""Sees what one run of a task has appended, each time."""

Witnesses = Callable[[Sequence[Recorded]], Witness]
"""Makes one for the run of a task with that history."""


def nobody(_history: Sequence[Recorded]) -> Witness:
    """Sees nothing."""
    return lambda _events: None


@dataclass(frozen=True)
class Resources:
    """The parts that a run needs, and how patient it is with them; times in seconds.

    Whoever waits for a prediction looks at it each ``poll_interval``, but not before ``durations``
    says that it may be over, or when ``wakeups`` says that its webhook came. The model speaks at
    most ``segment_max_chars`` characters at a time; ``segment_concurrency`` bounds the predictions
    of one task that are under way together; ``observe`` learns how each step went, and
    ``witnesses`` what becomes of each task.
    """

    log: Log
    templates: Templates
    predictions: Predictions
    audio: AudioStore
    gate: Gate
    storing: Storing
    kept: KeptAudio
    workplace: Workplace
    policy: RetryPolicy
    model_version: str
    poll_interval: float
    create_timeout: float
    segment_max_chars: int | None
    segment_concurrency: int
    observe: Callable[[StepOutcome], None]
    prediction_owners: PredictionOwners
    forgotten_predictions: ForgottenPredictions
    recorded_predictions: RecordedPredictions
    witnesses: Witnesses = nobody
    tracing: Tracing = NO_TRACING
    wakeups: Wakeups = field(default_factory=Wakeups)
    durations: Durations = field(default_factory=Durations)
