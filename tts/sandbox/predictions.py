"""A prediction: its whole course is decided when it is created, and read off the clock later.

So a prediction costs no task and no timer, and a journal line is enough to bring it back after the
process was killed.
"""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tts.sandbox import model
from tts.sandbox.behaviour import Behaviour

# Words are kept this long after the end, as at Replicate, and never longer than a day.
WORDS_SECONDS = 3600.0
FORGET_SECONDS = 86_400.0
# What Replicate's progress bars look like; the client parses the last line.
LOGS = "  0%|          | 0/1 [00:00<?, ?it/s]\n100%|##########| 1/1 [00:00<00:00,  1.41it/s]\n"


@dataclass(frozen=True, slots=True)
class Fate:
    """How a prediction ends; the default is the good end.

    ``output`` is ``url``, ``none``, ``list``, ``several``, ``object``, ``at`` or ``data_uri``, with
    what ``output_args`` say about it. ``starts`` and ``ends`` say whether
    it ever does, ``spoken`` how much of the text is heard. The other numbers, when set, replace the
    sandbox's own settings.
    """

    final: str = "succeeded"
    error: str | None = None
    output: str = "url"
    output_args: dict[str, Any] = field(default_factory=dict)
    starts: bool = True
    ends: bool = True
    boot_seconds: float | None = None
    predict_seconds: float | None = None
    retention_seconds: float | None = None
    spoken: float = 1.0


@dataclass(slots=True, eq=False)
class Prediction:
    """The record; times are seconds since the epoch, infinite for what never happens.

    ``token`` is the secret part of the output's URL, ``origin`` the base URL that the creator
    used, ``webhook_fault`` the name and the arguments of what is to go wrong with its webhooks.
    """

    id: str
    version: str
    input: dict[str, Any]
    created_at: float
    starts_at: float
    ends_at: float
    final: str
    error: str | None
    output: str
    retention_seconds: float
    token: str
    origin: str
    webhook: str | None
    webhook_events: list[str]
    webhook_fault: tuple[str, dict[str, Any]] | None
    spoken: float = 1.0
    output_args: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text that was to be spoken, until it is forgotten."""
        return str(self.input.get("tts_text", ""))

    @property
    def started(self) -> bool:
        """Whether it starts before it ends."""
        return self.starts_at <= self.ends_at and self.starts_at != math.inf

    def status(self, now: float) -> str:
        """Replicate's status at the moment ``now``."""
        if now >= self.ends_at:
            return self.final
        return "processing" if now >= self.starts_at else "starting"

    def removed(self, now: float) -> bool:
        """Whether input, output and logs are gone already."""
        return now >= self.ends_at + self.retention_seconds or not self.input

    @property
    def forgets_at(self) -> float:
        """When the words are no longer needed: an operator may look at them for a while."""
        kept = max(self.retention_seconds, WORDS_SECONDS)
        return min(self.ends_at + kept, self.created_at + FORGET_SECONDS)

    def forget(self) -> None:
        """Keep the prediction, but nothing that anybody said."""
        self.input = {}

    def delivers(self, now: float) -> bool:
        """Whether the output file can be fetched."""
        return self.status(now) == "succeeded" and not self.removed(now)

    def cancel(self, now: float) -> bool:
        """End it now; False if it is over already."""
        if now >= self.ends_at:
            return False
        self.ends_at, self.final, self.error = now, "canceled", None
        return True

    def view(self, now: float, *, origin: str, data_uri: str = "") -> dict[str, Any]:
        """The object that the API returns; ``data_uri`` is the output of that kind."""
        status, removed = self.status(now), self.removed(now)
        over = now >= self.ends_at
        body: dict[str, Any] = {
            "id": self.id,
            "model": f"{model.OWNER}/{model.NAME}",
            "version": self.version,
            "input": {} if removed else self.input,
            "logs": LOGS if over and self.started and not removed else "",
            "output": self._output(origin, data_uri) if self.delivers(now) else None,
            "data_removed": removed,
            "error": self.error if over else None,
            "status": status,
            "created_at": iso(self.created_at),
        }
        if self.started and now >= self.starts_at:
            body["started_at"] = iso(self.starts_at)
        if over:
            body["completed_at"] = iso(self.ends_at)
            body["metrics"] = self._metrics()
        here = f"{origin}/v1/predictions/{self.id}"
        body["urls"] = {
            "cancel": f"{here}/cancel",
            "get": here,
            "web": f"https://replicate.com/p/{self.id}",
        }
        return body

    def _output(self, origin: str, data_uri: str) -> str | list[str] | dict[str, str] | None:
        url = f"{origin}/xezq/{self.token}/out.wav"
        args = self.output_args
        outputs: dict[str, Callable[[], str | list[str] | dict[str, str] | None]] = {
            "url": lambda: url,
            "none": lambda: None,
            "list": lambda: [url],
            "several": lambda: [
                f"{url}?part={part}&parts={args['parts']}" for part in range(args["parts"])
            ],
            "object": lambda: {"text": self.text, args["key"]: url},
            "at": lambda: str(args["url"]),
            "data_uri": lambda: data_uri,
        }
        return outputs[self.output]()

    def _metrics(self) -> dict[str, float]:
        metrics = {"total_time": round(self.ends_at - self.created_at, 6)}
        if self.started:
            metrics["predict_time"] = round(self.ends_at - self.starts_at, 6)
        return metrics


def begin(
    *,
    version: str,
    given: dict[str, Any],
    fate: Fate,
    behaviour: Behaviour,
    now: float,
    origin: str = "",
    cancel_after: float | None = None,
    webhook: str | None = None,
    webhook_events: Sequence[str] = (),
    webhook_fault: tuple[str, dict[str, Any]] | None = None,
) -> Prediction:
    """Decide the course of a new prediction.

    ``Cancel-After`` ends it ``aborted`` before its start and ``canceled`` after it; only the
    latter is billed.
    """
    boot, predict, keep = (
        getattr(behaviour if getattr(fate, name) is None else fate, name)
        for name in ("boot_seconds", "predict_seconds", "retention_seconds")
    )
    starts_at = now + boot if fate.starts else math.inf
    # One that never starts yet ends (aborted) does so when it would have started.
    ends_at = now + boot + (predict if fate.starts else 0.0) if fate.ends else math.inf
    final, error = fate.final, fate.error
    if cancel_after is not None and now + cancel_after < ends_at:
        ends_at = now + cancel_after
        final, error = ("aborted" if ends_at < starts_at else "canceled"), None
    return Prediction(
        id=base64.b32encode(os.urandom(16)).decode().rstrip("=").lower(),
        version=version,
        input=given,
        created_at=now,
        starts_at=starts_at,
        ends_at=ends_at,
        final=final,
        error=error,
        output=fate.output,
        output_args=fate.output_args,
        spoken=fate.spoken,
        retention_seconds=keep,
        token=base64.urlsafe_b64encode(os.urandom(30)).decode(),
        origin=origin,
        webhook=webhook,
        webhook_events=list(webhook_events),
        webhook_fault=webhook_fault,
    )


def restored(record: Mapping[str, Any]) -> Prediction:
    """A prediction from its JSON, in which an infinite time is null."""
    values = dict(record)
    for name in ("starts_at", "ends_at"):
        values[name] = math.inf if values[name] is None else values[name]
    return Prediction(**values)


def iso(moment: float) -> str:
    """Replicate's way to write a time: UTC, milliseconds."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
