"""Faults of route ``prediction``: how a new prediction ends instead of well."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tts.sandbox.predictions import Fate


def failed(*, error: str = "Prediction interrupted; please retry (code: PA)") -> Fate:
    """Ends ``failed`` with the text ``error``."""
    return Fate(final="failed", error=error)


def canceled() -> Fate:
    """Ends ``canceled`` although nobody asked for it."""
    return Fate(final="canceled")


def aborted() -> Fate:
    """Ends ``aborted`` when it would have started."""
    return Fate(final="aborted", starts=False)


def stuck() -> Fate:
    """Stays ``starting`` until it is canceled or its Cancel-After is over."""
    return Fate(starts=False, ends=False)


def endless() -> Fate:
    """Stays ``processing`` until it is canceled or its Cancel-After is over."""
    return Fate(ends=False)


def slow(*, boot_seconds: float | None = None, predict_seconds: float | None = None) -> Fate:
    """Ends well, after another time than the others."""
    return Fate(boot_seconds=boot_seconds, predict_seconds=predict_seconds)


def unknown_status(*, status: str = "paused") -> Fate:
    """Ends in a status that nobody has heard of."""
    return Fate(final=status)


def output_null() -> Fate:
    """Succeeds without an output."""
    return Fate(output="none")


def output_list() -> Fate:
    """Succeeds with the URL in a list."""
    return Fate(output="list")


def output_several(*, parts: int = 2) -> Fate:
    """Succeeds with the audio in several files, whose URLs are a list."""
    return Fate(output="several", output_args={"parts": parts})


def output_object(*, key: str = "audio") -> Fate:
    """Succeeds with the URL in an object, beside other things."""
    return Fate(output="object", output_args={"key": key})


def output_at(*, url: str) -> Fate:
    """Succeeds with an output at any address that you name."""
    return Fate(output="at", output_args={"url": url})


def output_data_uri(*, lines: bool = False, padded: bool = True, url_safe: bool = False) -> Fate:
    """Succeeds with the audio in a ``data:`` URI, in one of the ways that base64 is written."""
    args = {"lines": lines, "padded": padded, "url_safe": url_safe}
    return Fate(output="data_uri", output_args=args)


def data_removed() -> Fate:
    """Succeeds, and its data is gone at that very moment."""
    return Fate(retention_seconds=0)


def cut_short(*, spoken: float = 0.5) -> Fate:
    """Succeeds, but only so much of the text is heard: the rest is dropped without a word."""
    return Fate(spoken=spoken)


FATES: Mapping[str, Callable[..., Fate]] = {
    fault.__name__: fault
    for fault in (
        failed,
        canceled,
        aborted,
        stuck,
        endless,
        slow,
        unknown_status,
        output_null,
        output_list,
        output_several,
        output_object,
        output_at,
        output_data_uri,
        data_removed,
        cut_short,
    )
}
