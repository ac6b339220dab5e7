"""How the sandbox's model behaves; changed while it runs with ``PATCH /sandbox/settings``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The knobs. All times are in real seconds; the defaults make a lively demonstration.

    ``retention_seconds`` is how long input, output and logs stay after the end (an hour at
    Replicate). ``webhook_retry_seconds`` is the first pause between two tries of a final webhook;
    it doubles six times. ``speech`` is ``voice``, or ``tone`` for something cheap under load.
    ``versions`` are the only model versions accepted; None accepts any 64 hex digits.
    """

    boot_seconds: float = 0.3
    predict_seconds: float = 0.7
    retention_seconds: float = 3600.0
    webhook_retry_seconds: float = 1.0
    speech: str = "voice"
    versions: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in (
            "boot_seconds",
            "predict_seconds",
            "retention_seconds",
            "webhook_retry_seconds",
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError(f"{name} must be a number of seconds, not {value!r}")
        if self.speech not in {"voice", "tone"}:
            raise ValueError(f"speech must be 'voice' or 'tone', not {self.speech!r}")
        if self.versions is not None and not all(isinstance(item, str) for item in self.versions):
            raise ValueError("versions must be a list of version ids, or null for any")

    def changed(self, given: Mapping[str, Any]) -> Self:
        """A copy with ``given`` applied.

        Raises:
            ValueError: an unknown name or a value that does not fit; the message names it.
        """
        unknown = given.keys() - set(self.__slots__)
        if unknown:
            raise ValueError(f"unknown setting {', '.join(sorted(unknown))}")
        values = dict(given)
        if values.get("versions") is not None:
            values["versions"] = tuple(values["versions"])
        return replace(self, **values)
