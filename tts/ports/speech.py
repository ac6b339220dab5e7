"""Who speaks: the host of the reference voices, and Replicate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Template:
    """A reference voice: its transcript, and where its audio can be fetched."""

    template_id: str
    transcript: str
    transcript_hash: str
    audio_url: str
    audio_etag: str | None


class Templates(Protocol):
    """The host of the reference voices."""

    async def fetch(self, template_id: str) -> Template:
        """The template, from the cache while it is fresh.

        Raises:
            StepError: at step ``template``.
        """
        ...


@dataclass(frozen=True, slots=True)
class Speech:
    """What a prediction is to speak; two equal ones ask for the same audio."""

    text: str
    transcript: str
    audio_url: str
    instruction: str = ""


class PredictionState(StrEnum):
    """Replicate's statuses, folded to what the processor does about them."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction as last seen; ``output_url`` is set on success.

    ``predict_time`` is how many seconds the model took, ``total_time`` how many there were from its
    creation to its end.

    An output in several parts has their addresses there in order, with a blank between them.
    A failed one is raised as a :class:`StepError`, never returned.
    """

    id: str
    state: PredictionState
    model_version: str
    output_url: str | None = None
    predict_time: float | None = None
    total_time: float | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A prediction as the list of all has it; ``created_at`` is by Replicate's clock."""

    id: str
    created_at: datetime


Survey = Callable[[Speech], list[Listed]]
"""What was listed for a speech, newest first."""


class Predictions(Protocol):
    """Replicate. Every call is bounded in time and raises :class:`StepError` alone."""

    async def create(self, speech: Speech, *, seconds_left: float) -> Prediction:
        """Create one; ``AMBIGUOUS`` says that it may exist although no reply arrived.

        Replicate ends it by itself after ``seconds_left``.
        """
        ...

    async def find(self, speech: Speech, *, since: datetime, until: datetime) -> list[Listed]:
        """The predictions created from ``since`` to ``until`` for just this speech, newest first.

        Whatever else was created then is read past, however much it is.
        """
        ...

    async def survey(self, *, since: datetime, until: datetime) -> Survey:
        """The same for all speeches together: one list serves as many as look for theirs."""
        ...

    async def get(self, prediction_id: str) -> Prediction:
        """Look at it; a failed, lost or expired one raises."""
        ...

    async def cancel(self, prediction_id: str) -> None:
        """Stop it if it still runs; one that is over or gone is left alone."""
        ...

    async def download(self, output_url: str) -> bytes:
        """The whole output, bounded in size, fetched without our token."""
        ...
