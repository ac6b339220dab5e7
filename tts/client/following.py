"""The rules by which a stream is followed across disconnects. No I/O."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, SSEError

from tts.client.errors import CursorReset, TTSError
from tts.client.results import Task, Update

MISSED_HEARTBEATS = 2.5  # after that many intervals in silence a connection counts as dead
PAUSE_SECONDS = 0.5  # before the first new connection; it doubles with every failure
PAUSE_MAX_SECONDS = 15.0


class StartOver(Exception):
    """The log is not the one that was followed: its tasks have to be read from the start."""


class OtherPulse(Exception):
    """The service's heartbeats come at another interval than this connection waits for."""


@dataclass
class Pulse:
    """How often the service sends heartbeats, in seconds: a guess, until a stream has said so."""

    seconds: float

    @property
    def silence(self) -> float:
        """After so many seconds without a sign of life a connection counts as dead."""
        return self.seconds * MISSED_HEARTBEATS


BROKEN = (httpx.TransportError, SSEError, StartOver, OtherPulse, TTSError)
"""What may end a connection; :meth:`Following.pause` tells what to do about it."""


class Following:
    """One stream: where it is, whether it is over, and when to connect again.

    It is over when each of ``tasks`` is, as far as was known when it began; without tasks, never.
    ``pulse`` is kept up to date for the streams to come, ``seconds`` is how long to follow at most.
    """

    def __init__(
        self, tasks: Sequence[Task], after: int | None, *, pulse: Pulse, seconds: float | None
    ) -> None:
        self._tasks = [task.task_id for task in tasks]
        # A final status before this position was followed by a retry, and ends nothing.
        self._known = {
            task.task_id: task.position
            for task in tasks
            if not task.final or after is None or task.position > after
        }
        self._position = after
        self._pulse = pulse
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._failures = 0
        self._hint = 0.0  # what the server asked to wait, in seconds

    @property
    def over(self) -> bool:
        """Whether every task has ended."""
        return bool(self._tasks) and not self._known

    def request(self) -> dict[str, Any]:
        """How to connect now, as arguments for httpx.

        Raises:
            TTSError: ``timeout``.
        """
        params: dict[str, Any] = {"taskId": self._tasks}
        if self._position is not None:
            params["lastEventId"] = self._position
        read = min(self._pulse.silence, self._left())
        return {"params": params, "timeout": httpx.Timeout(self._pulse.silence, read=read)}

    def accept(self, event: ServerSentEvent) -> Update | None:
        """The update if the event is one that was not seen before.

        Raises:
            CursorReset, StartOver, OtherPulse, TTSError
        """
        self._left()
        if event.retry is not None:
            self._hint = event.retry / 1000
        if event.event == "connected":
            self._failures = 0
            data = json.loads(event.data)
            if self._position is None and not self._tasks:
                self._position = data["position"]
            self._learn(data.get("heartbeatInterval"))
        elif event.event == "heartbeat":
            # Its id, where it has one, says how far the stream is, be it that nothing concerned us.
            if self._position is not None and event.id.isdigit():
                self._position = max(self._position, int(event.id))
        elif event.event == "reset":
            self._reset(json.loads(event.data))
        elif event.event == "task_update":
            update = Update.read(json.loads(event.data))
            if self._position is None or update.position > self._position:
                self._position = update.position
                if update.final and update.position >= self._known.get(update.task_id, 0):
                    self._known.pop(update.task_id, None)
                return update
        return None

    def pause(self, error: Exception | None = None) -> float:
        """How many seconds to wait before connecting again after ``error``, or after an end.

        Raises:
            TTSError: no repetition can help, or there is no time left.
        """
        asked = self._hint
        self._hint = 0.0
        if isinstance(error, OtherPulse):
            return 0.0
        if isinstance(error, SSEError):
            raise TTSError(f"no stream: {error}", code="bad_answer") from error
        if isinstance(error, TTSError):
            if not error.transient:
                raise error
            asked = error.retry_after or 0.0
        pause = min(PAUSE_SECONDS * 2**self._failures, PAUSE_MAX_SECONDS)
        self._failures += 1
        # Everybody lost the connection at the same moment, and is not to come back at the same.
        jittered: float = pause * random.uniform(0.5, 1)  # noqa: S311 -- guards nothing
        return min(max(jittered, asked), self._left())

    def _learn(self, milliseconds: int | None) -> None:
        """A connection's patience cannot be changed, so one that has the wrong one is replaced."""
        if milliseconds and milliseconds / 1000 != self._pulse.seconds:
            self._pulse.seconds = milliseconds / 1000
            raise OtherPulse

    def _reset(self, data: dict[str, Any]) -> None:
        if not self._tasks:
            raise CursorReset(data["reason"], data["position"])
        self._position = None
        self._known = dict.fromkeys(self._known, 0)
        raise StartOver(data["reason"])

    def _left(self) -> float:
        """The seconds until the deadline."""
        if self._deadline is None:
            return float("inf")
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TTSError("the task did not end in time", code="timeout", task_id=self._tasks[0])
        return left
