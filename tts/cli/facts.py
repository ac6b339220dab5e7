"""What each part tells of itself on the roster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from gateway.streams.hub import Hub
from projections.runner import Projector
from tts.application.turns import Turns
from tts.observability.lag import lag
from tts.observability.metrics.process import observe_leader, observe_standby
from tts.observability.metrics.processor import observe_places
from tts.observability.metrics.projector import observe_lags
from tts.observability.overview import places_of
from tts.observability.presence import Tell
from tts.ports.errors import Unavailable
from tts.ports.log import Log
from tts.ports.roster import Roster
from tts.relay.relay import FOLLOWED, Relay
from tts.relay.rescue import Figures
from tts.wire import QueueDepth

if TYPE_CHECKING:
    from tts.processor.processor import Processor

Now = Callable[[], datetime]


def of_gateway(hub: Hub) -> Tell:
    """How many streams are open."""

    async def tell() -> Mapping[str, Any]:
        return {"streams": sum(map(len, hub.readers))}

    return tell


def of_processor(processor: Processor) -> Tell:
    """How many of its places are taken."""

    async def tell() -> Mapping[str, Any]:
        observe_places(processor.busy, processor.places)
        return {"busy": processor.busy, "places": processor.places}

    return tell


def of_relay(relay: Relay, log: Log, roster: Roster, now: Now) -> Tell:
    """Whether it leads; then how far it is behind, what waits, and who has his turn when."""

    async def tell() -> Mapping[str, Any]:
        if not relay.leading:
            observe_standby("relay")
            return {"role": role(leading=False)}
        facts: dict[str, Any] = {"role": role(leading=True)}
        with contextlib.suppress(Unavailable):
            relay.learn(*places_of(await roster.read()))
        turns = relay.turns()
        if turns is not None:
            facts["turns"] = turns.facts()
        if relay.figures is not None:
            facts["queue"] = depth(relay.figures, turns)
        facts["lag"] = behind = await lag(log, relay.followed, now(), FOLLOWED)
        observe_leader("relay", behind)
        return facts

    return tell


def of_projector(projector: Projector, log: Log, now: Now) -> Tell:
    """Whether it leads; then how far its slowest read model is behind."""

    async def tell() -> Mapping[str, Any]:
        if not projector.leading:
            observe_standby("projector")
            observe_lags({})
            return {"role": role(leading=False)}
        positions = projector.positions
        lags = {position: await lag(log, position, now()) for position in {*positions.values()}}
        observe_lags({name: lags[position] for name, position in positions.items()})
        behind = lags[min(lags)]
        observe_leader("projector", behind)
        return {"role": role(leading=True), "lag": behind}

    return tell


def role(*, leading: bool) -> Literal["leading", "standing by"]:
    """As the wire calls it."""
    return "leading" if leading else "standing by"


def depth(figures: Figures, turns: Turns | None) -> QueueDepth:
    """What waits, as the wire has it; ``turns`` are newer than the figures."""
    ready = figures.ready
    somebody_waits = turns is None or turns.waiting > 0
    return {
        "backlog": {str(priority): count for priority, count in figures.backlog.items()},
        "published": figures.published,
        "unfinished": figures.unfinished,
        "oldestSeconds": round(figures.oldest_seconds, 3),
        "oldestWaitSeconds": round(figures.oldest_wait_seconds, 3) if somebody_waits else 0.0,
        "estimatedWaitMs": None if turns is None else turns.wait_ms(turns.waiting + 1),
        "ready": None if ready is None else {each.value: count for each, count in ready.items()},
    }
