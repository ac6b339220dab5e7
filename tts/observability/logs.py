"""Logs: every record to standard error, for people or for machines."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, WrappedLogger

from tts.observability.last_problem import LAST_PROBLEM
from tts.observability.visible import visible

TRACEBACKS = ("exception", "stack")  # the keys whose values have several lines


def configure_logging(level: str, form: Literal["auto", "json", "console"]) -> None:
    """Send every log record to standard error: coloured on a terminal, else JSON, a line each.

    What a record carries as ``extra`` (``task_id``, ``attempt``, ``position``, …) becomes a key.
    Tracebacks come without the values of local variables, which are texts, keys and tokens.
    """
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *([_all_visible] if console else []),  # JSON escapes by itself
            renderer,
        ],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler, LAST_PROBLEM], force=True)
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(max(logging.getLevelName(level), logging.WARNING))
    # What they report is raised as well, and told once.
    for repetitive in ("aiormq", "aio_pika", "urllib3"):
        logging.getLogger(repetitive).setLevel(logging.CRITICAL)


def _all_visible(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Show what a terminal would obey; a record stays one line, but for its traceback."""
    for key, value in event.items():
        if not isinstance(value, bool | int | float | None):
            text = value if isinstance(value, str) else repr(value)
            event[key] = visible(text, keep="\n\t" if key in TRACEBACKS else "")
    return event
