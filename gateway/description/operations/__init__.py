"""Every operation of the API, described for those who use it: a module for each tag."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.description.operation import Operation
from gateway.description.operations import (
    callbacks,
    dead_letters,
    speech,
    stats,
    streams,
    system,
    tasks,
)

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    operation: description
    for module in (speech, callbacks, tasks, dead_letters, streams, stats, system)
    for operation, description in module.OPERATIONS.items()
}
