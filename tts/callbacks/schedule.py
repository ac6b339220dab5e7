"""When a callback is tried again, and when nobody tries any more. Pure."""

from __future__ import annotations

import random
from dataclasses import replace
from http import HTTPStatus

from tts.ports.callbacks import Callback, CallbackState, Reply

# Seconds after each attempt that failed; the last one repeats. As Standard Webhooks recommends.
PAUSES = (5, 30, 120, 600, 1800, 3600, 7200, 14_400)
JITTER = 0.2
PATIENCE_SECONDS = 24 * 3600.0
ASKED_MAX_SECONDS = 3600.0  # the longest pause that the other side can ask for
PROBLEM_MAX_CHARS = 200


def after_reply(callback: Callback, reply: Reply, now: float) -> Callback:
    """The callback after an answer: delivered by any 2xx, and never tried again after 410."""
    if HTTPStatus(HTTPStatus.OK) <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
        return _over(callback, CallbackState.DELIVERED, None, now)
    problem = f"answered {reply.status}"
    if reply.status == HTTPStatus.GONE:
        return _over(callback, CallbackState.FAILED, problem, now)
    return after_failure(callback, problem, now, asked=reply.retry_after)


def after_failure(
    callback: Callback, problem: str, now: float, *, asked: float | None = None
) -> Callback:
    """The callback after an attempt in vain: due again, unless a day is over.

    ``asked`` are the seconds that the other side wants to be left alone.
    """
    pause = PAUSES[min(callback.attempts, len(PAUSES) - 1)]
    seconds = max(pause * random.uniform(1, 1 + JITTER), min(asked or 0, ASKED_MAX_SECONDS))  # noqa: S311
    if now + seconds > callback.began + PATIENCE_SECONDS:
        return _over(callback, CallbackState.FAILED, problem, now)
    return replace(
        callback,
        attempts=callback.attempts + 1,
        due=now + seconds,
        updated=now,
        problem=problem[:PROBLEM_MAX_CHARS],
    )


def _over(callback: Callback, state: CallbackState, problem: str | None, now: float) -> Callback:
    return replace(
        callback,
        state=state,
        attempts=callback.attempts + 1,
        due=None,
        updated=now,
        problem=problem and problem[:PROBLEM_MAX_CHARS],
    )
