"""What both audio stores know of the parts of a long text, which are kept for a day."""

from __future__ import annotations

from tts.domain.failures import StepError

PARTS_KEPT_DAYS = 1


def missing(key: str) -> StepError:
    """The failure to read an object that is not there."""
    return StepError("part_missing", "audio", f"the audio {key} is gone")
