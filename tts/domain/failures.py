"""Every failure that a step can have, and what is done about it: the one table that decides.

``tts retry-policy`` prints it. An adapter names a failure by code and step; what follows from it
(another try, an attempt used up, a new prediction) stands here alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Treatment(StrEnum):
    """What a failure calls for; ``tts.domain.retry`` turns it into a decision."""

    PERMANENT = "permanent"  # no repetition can help: the task fails
    TRANSIENT = "transient"  # try the same step again
    THROTTLED = "throttled"  # the account is over a limit: wait
    CONFIGURATION = "configuration"  # an operator must act: wait until somebody has
    AMBIGUOUS = "ambiguous"  # a creation may or may not have happened: look before repeating it
    LOST = "lost"  # the prediction is of no use any more: a new one has to be made


# Nobody's task is to blame for a limit of the account or for a wrong key.
_FREE = frozenset({Treatment.THROTTLED, Treatment.CONFIGURATION})


@dataclass(frozen=True, slots=True)
class Failure:
    """One row: what happened (``meaning``) and what an operator does about it (``action``).

    ``costs_attempt`` says whether another try counts against the task's attempts; ``pauses``
    that tries are spaced by a pause of their own instead of the backoff, because no gate holds
    them back; ``worthless`` that the prediction is of no use to a person's retry either.
    ``replacements`` is how many new predictions may be paid for in place of a segment's first.
    """

    code: str
    step: str
    treatment: Treatment
    meaning: str
    action: str
    costs_attempt: bool
    pauses: bool
    worthless: bool
    replacements: int

    @property
    def new_prediction(self) -> bool:
        """Whether the next try makes a new prediction, which is paid for once more."""
        return self.treatment is Treatment.LOST


class UnknownFailure(LookupError):
    """A code and a step that the table has no row for: a defect of the adapter that names them."""


def lookup(code: str, step: str) -> Failure:
    """The row of a failure.

    Raises:
        UnknownFailure: there is none.
    """
    try:
        return TABLE[code, step]
    except KeyError:
        raise UnknownFailure(
            f"no failure {code!r} at step {step!r}: add its row to tts/domain/failures.py"
        ) from None


def _row(
    step: str,
    code: str,
    treatment: Treatment,
    meaning: str,
    action: str,
    *,
    free: bool = False,
    pauses: bool = False,
    worthless: bool = False,
    replacements: int = 2,
) -> Failure:
    costs = not (free or treatment in _FREE or treatment is Treatment.PERMANENT)
    return Failure(
        code,
        step,
        treatment,
        meaning,
        action,
        costs_attempt=costs,
        pauses=pauses,
        worthless=worthless or treatment is Treatment.LOST,
        replacements=replacements,
    )


_PERMANENT, _TRANSIENT, _THROTTLED, _CONFIGURATION, _AMBIGUOUS, _LOST = Treatment
_NOTHING = "Nothing; it passes."
_LOOK = "Nothing; the list is searched before another one is made."
_TEMPLATE = "Mend the template's files on their host, then retry the task."
_REPORT = "Report it with the processor's log around that time."

_REQUEST = [
    _row("request", "payload_erased", _PERMANENT, "The text was erased meanwhile.", "Nothing."),
    _row(
        "request",
        "payload_altered",
        _PERMANENT,
        "The stored text is not the one that was asked for.",
        "Find out who writes into the table of payloads.",
    ),
]

_TEMPLATES = [
    _row(
        "template",
        "template_unavailable",
        _TRANSIENT,
        "The template host did not answer, or answered 408, 429 or 5xx.",
        "Look at the host if it lasts.",
        free=True,
        pauses=True,
    ),
    *(
        _row("template", f"template_{kind}", _PERMANENT, meaning, action)
        for kind, meaning, action in (
            ("invalid", "The id is none that a template can have.", "Correct the app."),
            ("not_found", "The host has no such file (404, 410).", _TEMPLATE),
            ("forbidden", "The host keeps the file to itself (401, 403).", _TEMPLATE),
            ("refused", "The host refused in another way.", _TEMPLATE),
            ("redirect", "The host points to another one, where nothing is fetched.", _TEMPLATE),
            (
                "transcript",
                "The transcript is no text that a person says: empty, too long, a page, not UTF-8.",
                _TEMPLATE,
            ),
            ("audio", "The reference audio is none, or too large.", _TEMPLATE),
        )
    ),
]


def _account(step: str) -> list[Failure]:
    """What Replicate may say to any call; a search that it stops leaves the creation in doubt."""
    throttled, configuration = (
        (_AMBIGUOUS, _AMBIGUOUS) if step == "find" else (_THROTTLED, _CONFIGURATION)
    )
    key, money = "Set REPLICATE_API_TOKEN to a valid token.", "Add credit to the account."
    return [
        _row(step, code, treatment, meaning, action, free=True)
        for code, treatment, meaning, action in (
            ("replicate_throttled", throttled, "429: over a limit.", "Nothing, or a higher limit."),
            ("replicate_unauthorized", configuration, "401: Replicate does not know us.", key),
            ("replicate_payment_required", configuration, "402: no credit is left.", money),
            ("replicate_forbidden", configuration, "403: the token may not do this.", key),
        )
    ]


def _answers(step: str, treatment: Treatment = _TRANSIENT) -> list[Failure]:
    """What may befall any call to Replicate that creates nothing."""
    unreadable = "The answer is none that Replicate documents."
    return [
        *(
            _row(step, code, treatment, meaning, _NOTHING, free=True, pauses=True)
            for code, meaning in (
                ("replicate_unreachable", "No connection: refused, or the name is unknown."),
                ("replicate_unavailable", "No whole answer in time, or 408 or 5xx."),
            )
        ),
        _row(step, "replicate_unreadable", treatment, unreadable, _NOTHING),
    ]


_CREATE = [
    _row("create", "invalid_input", _PERMANENT, "400, 422: the model refuses it.", "Correct it."),
    _row("create", "create_refused", _PERMANENT, "Refused with another 4xx.", _REPORT),
    *_account("create"),
    *(
        _row("create", code, _CONFIGURATION, meaning, action)
        for code, meaning, action in (
            (
                "replicate_version_refused",
                "422: the model's version is unknown or not permitted.",
                "Correct REPLICATE_MODEL_VERSION.",
            ),
            (
                "replicate_model_missing",
                "404: there is no such model.",
                "Correct REPLICATE_MODEL_VERSION and REPLICATE_BASE_URL.",
            ),
            ("replicate_moved", "3xx: the API is elsewhere.", "Correct REPLICATE_BASE_URL."),
        )
    ),
    _row(
        "create",
        "replicate_unreachable",
        _TRANSIENT,
        "No connection was made, so nothing was created.",
        _NOTHING,
        free=True,
        pauses=True,
    ),
    _row(
        "create",
        "create_ambiguous",
        _AMBIGUOUS,
        "Sent, but no answer of Replicate's own came (timeout, reset, 502): it may be there.",
        _LOOK,
        free=True,
        pauses=True,
    ),
    _row(
        "create",
        "create_failed",
        _TRANSIENT,
        "Replicate itself answered 500 or 503, and its list has no such prediction.",
        _NOTHING,
        free=True,
        pauses=True,
    ),
]

_FIND = [*_account("find"), *_answers("find", _AMBIGUOUS)]

_POLL = [
    *_account("poll"),
    *_answers("poll"),
    _row(
        "poll",
        "prediction_failed",
        _PERMANENT,
        "The prediction failed for a reason that nobody knows to pass (an assertion).",
        "Read the message; correct the text or the template, then retry the task.",
        worthless=True,
    ),
    *(
        _row("poll", code, _LOST, meaning, "Nothing; retry the task if it failed in the end.")
        for code, meaning in (
            ("prediction_interrupted", "Replicate broke it off (PA, Director, E1000, E9825, …)."),
            ("prediction_crowded_out", "No room: E003, high demand, E1001, out of memory."),
            ("prediction_inputs", "Its inputs did not arrive there: a time-out, a reset, 5xx."),
            ("prediction_lost", "404, 410: Replicate does not know the prediction any more."),
            ("prediction_expired", "It succeeded, but its output was removed after an hour."),
            ("prediction_empty", "It succeeded without an output."),
            ("prediction_canceled", "Canceled or aborted, and not by us."),
        )
    ),
]

_DOWNLOAD = [
    _row(
        "download",
        "output_unavailable",
        _TRANSIENT,
        "No whole file, or 408, 429, 5xx.",
        _NOTHING,
        free=True,
        pauses=True,
    ),
    _row(
        "download",
        "output_missing",
        _LOST,
        "401, 403, 404, 410, and Replicate names no other place for the output.",
        _NOTHING,
    ),
    _row(
        "download",
        "output_broken",
        _LOST,
        "Twice a page instead of audio, a WAV shorter than its header says, or 400.",
        _NOTHING,
        replacements=1,
    ),
    _row(
        "download",
        "output_refused",
        _PERMANENT,
        "Too large, compressed, or at an address where nothing is fetched.",
        "See AUDIO_MAX_BYTES and REPLICATE_OUTPUT_HOSTS.",
    ),
    _row(
        "download",
        "not_audio",
        _PERMANENT,
        "The output holds no sound, or is larger than any speech (also by what its header says).",
        _REPORT,
        worthless=True,
    ),
    _row(
        "download",
        "suspect_truncation",
        _LOST,
        "The audio is too short for its text: the model may have dropped the rest.",
        "Listen to it if it happens again.",
    ),
    _row(
        "download",
        "suspect_audio",
        _LOST,
        "The audio is silent, a constant level, or of samples that are no numbers.",
        "Listen to it if it happens again.",
    ),
]

_AUDIO = [
    _row(
        "audio",
        "audio_unavailable",
        _TRANSIENT,
        "The audio store did not answer, or SlowDown, 429 or 5xx.",
        "Look at the audio store if it lasts; audio is kept, and nothing new is paid for.",
        free=True,
        pauses=True,
    ),
    _row(
        "audio",
        "audio_failed",
        _TRANSIENT,
        "The audio store fails for this audio again and again, and takes others.",
        "Look at what the audio store says of this object.",
    ),
    _row(
        "audio",
        "audio_refused",
        _CONFIGURATION,
        "Wrong keys, no permission, a wrong clock, a full disk, or no S3 at all.",
        "Mend MINIO_*, the clock, or the space in DATA_DIR; tasks then go on by themselves.",
        pauses=True,
    ),
    _row(
        "audio",
        "part_missing",
        _LOST,
        "A stored part of a long text is gone; it is fetched or spoken again.",
        "Look who removes objects from the audio store.",
    ),
    _row("audio", "not_audio", _PERMANENT, "A stored part of a long text is no audio.", _REPORT),
    _row(
        "audio",
        "parts_differ",
        _PERMANENT,
        "Parts of a long text differ in rate or channels, so that they cannot be joined.",
        _REPORT,
    ),
    _row(
        "audio",
        "audio_too_long",
        _PERMANENT,
        "The parts of a long text are together more than a WAV can be (4 GiB).",
        _REPORT,
    ),
    _row(
        "audio",
        "workplace_refused",
        _CONFIGURATION,
        "Long audio cannot be put together in DATA_DIR/work: read-only, or full.",
        "Make room in DATA_DIR, or let it be written; tasks then go on by themselves.",
        pauses=True,
    ),
    _row(
        "audio",
        "format_unavailable",
        _CONFIGURATION,
        "The processor's machine has a libsndfile that cannot write MP3 or Opus.",
        "pip install --force-reinstall --only-binary soundfile soundfile; tasks then go on.",
        pauses=True,
    ),
    _row("audio", "audio_rejected", _PERMANENT, "The audio store refuses this object.", _REPORT),
]

_OURS = [
    _row(
        "deadline",
        "deadline_exceeded",
        _PERMANENT,
        "TASK_DEADLINE_SECONDS are over; the message names the last failure. A task whose "
        "predictions are all made waits on for a service that is away: for an hour for Replicate, "
        "without end for the audio store.",
        "Look for what held it up, then retry the task.",
    ),
    *(
        _row(step, "internal_error", treatment, "A defect of the processor.", _REPORT)
        for step, treatment in (
            ("claim", _TRANSIENT),
            ("start", _TRANSIENT),
            ("settle", _AMBIGUOUS),
            ("create", _AMBIGUOUS),
            ("poll", _TRANSIENT),
            ("download", _TRANSIENT),
            ("audio", _TRANSIENT),
            ("expire", _TRANSIENT),
            ("cancel", _TRANSIENT),
        )
    ),
]

TABLE: Mapping[tuple[str, str], Failure] = {
    (row.code, row.step): row
    for row in (
        *_REQUEST,
        *_TEMPLATES,
        *_CREATE,
        *_FIND,
        *_POLL,
        *_account("cancel"),
        *_answers("cancel"),
        *_DOWNLOAD,
        *_AUDIO,
        *_OURS,
    )
}
CODES: Mapping[str, Failure] = {row.code: row for row in reversed(list(TABLE.values()))}
"""The first row of each code, which says what it means at every step."""


# What logs of earlier versions call a failure (code, step), and what it is called now. Events keep
# the name that they have; these rows say what it means.
FORMER_NAMES: Mapping[tuple[str, str], tuple[str, str]] = {
    ("store_unavailable", "store"): ("audio_unavailable", "audio"),
    ("store_refused", "store"): ("audio_refused", "audio"),
    ("store_rejected", "store"): ("audio_rejected", "audio"),
    **{
        (code, "store"): (code, "audio")
        for code in ("part_missing", "not_audio", "parts_differ", "internal_error")
    },
}


class StepError(Exception):
    """A step failed: ``code`` for machines, ``step`` where, the message for people.

    Code and step are a row of :mod:`tts.domain.failures`, which says what is done about it:
    ``failure``, and of that the ``treatment``. ``retry_after`` is in seconds and was asked for by
    the other side. The message never holds a secret nor what a person said: it is stored in the log
    for good.

    Raises:
        UnknownFailure: the table has no such row.
    """

    def __init__(
        self, code: str, step: str, message: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.failure = lookup(code, step)
        self.code = code
        self.step = step
        self.message = message
        self.retry_after = retry_after

    @property
    def treatment(self) -> Treatment:
        """What the failure calls for."""
        return self.failure.treatment
