"""What a prediction looks like at Replicate: the input that we give, the documents that we get."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import orjson

from tts.ports.speech import Prediction, PredictionState, Speech
from tts.replicate.errors import failed, lost, unreadable

_STATES = {
    "starting": PredictionState.RUNNING,
    "processing": PredictionState.RUNNING,
    "succeeded": PredictionState.SUCCEEDED,
    "canceled": PredictionState.CANCELED,
    "aborted": PredictionState.CANCELED,
}
_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:")
_AUDIO_NAME = re.compile(r"audio|speech|sound|wav|voice", re.IGNORECASE)
_NESTED = 4
_SPOKEN = ("source_audio", "source_transcript", "tts_text", "task")
_OF_NO_USE = {"failed", "canceled", "aborted"}


def speech_input(speech: Speech) -> dict[str, str]:
    """The model's input; it heeds an instruction at one task only, and that task demands one."""
    fields = {
        "source_audio": speech.audio_url,
        "source_transcript": speech.transcript,
        "tts_text": speech.text,
        "task": "zero-shot voice clone",
    }
    if speech.instruction:
        fields |= {"task": "Instructed Voice Generation", "instruction": speech.instruction}
    return fields


def is_for(result: Any, wanted: dict[str, str]) -> bool:
    """Whether a prediction was asked for the same; defaults that Replicate filled in may differ."""
    given = _usable_input(result)
    return (
        given is not None
        and all(given.get(name) == value for name, value in wanted.items())
        and given.get("instruction", "") == wanted.get("instruction", "")
    )


def digest_of(result: Any) -> bytes | None:
    """Equal for those that :meth:`is_for` finds to be for the same; None for one of no use."""
    given = _usable_input(result)
    return None if given is None else input_digest(given)


def input_digest(fields: Mapping[str, Any]) -> bytes:
    """A short form of what the model is asked for."""
    asked = [fields.get(name) for name in _SPOKEN]
    return blake2b(orjson.dumps([*asked, fields.get("instruction", "")]), digest_size=16).digest()


def _usable_input(result: Any) -> dict[str, Any] | None:
    if not isinstance(result, dict) or result.get("status") in _OF_NO_USE:
        return None
    given = result.get("input")
    return given if isinstance(given, dict) and isinstance(result.get("id"), str) else None


def created_at(result: dict[str, Any], otherwise: datetime) -> datetime:
    """When it was created, or ``otherwise`` where that is not readable."""
    try:
        moment = datetime.fromisoformat(result["created_at"])
    except (KeyError, TypeError, ValueError):
        return otherwise
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def running(document: Mapping[str, Any], prediction_id: str, version: str) -> Prediction:
    """The prediction, whatever its status; ``version`` is what we asked for."""
    version = str(document.get("version") or version)
    return Prediction(prediction_id, PredictionState.RUNNING, version)


def read(document: Mapping[str, Any], prediction_id: str, version: str) -> Prediction:
    """The prediction as the document has it.

    Raises:
        StepError: at step ``poll``: it failed, has nothing to show, or cannot be read.
    """
    status = document.get("status")
    if status == "failed":
        raise failed(document.get("error"), _said(document))
    state = _STATES.get(str(status))
    if state is None:
        raise unreadable("poll", f"its status is {str(status)[:40]!r}")
    seen = replace(running(document, prediction_id, version), state=state)
    if state is not PredictionState.SUCCEEDED:
        return seen
    addresses = _addresses(document.get("output"))
    if not addresses:
        raise lost(data_removed=bool(document.get("data_removed")))
    return replace(
        seen,
        output_url=" ".join(addresses),
        predict_time=_metric(document, "predict_time"),
        total_time=_metric(document, "total_time"),
    )


def _addresses(output: object, depth: int = 0) -> list[str]:
    """Where the audio lies: a string, a list of its parts in order, or an object that names it."""
    match output:
        case str() if _ADDRESS.match(output):
            scheme, _, rest = output.strip().partition(":")
            blank = "" if scheme.lower() == "data" else "%20"  # data may be broken into lines
            return [f"{scheme.lower()}:{blank.join(rest.split())}"]
        case list() if depth < _NESTED:
            return [address for part in output for address in _addresses(part, depth + 1)]
        case dict() if depth < _NESTED:
            named = sorted(output, key=lambda name: not _AUDIO_NAME.search(name))
            found = (_addresses(output[name], depth + 1) for name in named)
            return next(filter(None, found), [])
    return []


def _said(document: Mapping[str, Any]) -> list[str] | None:
    given = document.get("input")
    if not isinstance(given, dict) or not isinstance(given.get("tts_text"), str):
        return None
    return [given["tts_text"], str(given.get("instruction") or "")]


def _metric(document: Mapping[str, Any], name: str) -> float | None:
    metrics = document.get("metrics")
    seconds = metrics.get(name) if isinstance(metrics, dict) else None
    return float(seconds) if isinstance(seconds, int | float) else None
