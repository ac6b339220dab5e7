"""Which webhooks a prediction sends and when, and the faults of route ``webhook``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tts.sandbox.predictions import Prediction

EVENTS = ("start", "output", "logs", "completed")
# Replicate's choice when the creator gives no filter.
DEFAULT_EVENTS = ("output", "completed")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook: sent ``at`` a time, showing the prediction as it was at ``seen_at``."""

    event: str
    at: float
    seen_at: float
    signed: bool = True

    @property
    def final(self) -> bool:
        """Only the last event is tried again when it is refused."""
        return self.event == "completed"


Plan = list[Delivery]


def plan(prediction: Prediction) -> Plan:
    """The deliveries of this prediction in the order of time, faults included."""
    ends = prediction.ends_at
    moments = {"completed": ends}
    if prediction.started:
        moments |= {"start": prediction.starts_at, "logs": ends}
        if prediction.final == "succeeded":
            moments["output"] = ends
    deliveries = [
        Delivery(event, at=moments[event], seen_at=moments[event])
        for event in EVENTS
        if event in prediction.webhook_events and moments.get(event, math.inf) != math.inf
    ]
    if prediction.webhook_fault is not None:
        name, args = prediction.webhook_fault
        deliveries = PLANS[name](prediction, deliveries, **args)
    return deliveries


def never(_prediction: Prediction, _deliveries: Plan) -> Plan:
    """Nothing is ever sent."""
    return []


def duplicated(_prediction: Prediction, deliveries: Plan, *, times: int = 2) -> Plan:
    """Everything is sent several times."""
    return [delivery for delivery in deliveries for _ in range(times)]


def out_of_order(prediction: Prediction, deliveries: Plan, *, late_seconds: float = 0.5) -> Plan:
    """A body that says ``processing`` arrives after the final one."""
    if not prediction.started or prediction.ends_at == math.inf:
        return deliveries
    stale = Delivery("start", at=prediction.ends_at + late_seconds, seen_at=prediction.starts_at)
    return [*(item for item in deliveries if item.event != "start"), stale]


def badly_signed(_prediction: Prediction, deliveries: Plan) -> Plan:
    """The signature is made with another secret."""
    return [replace(delivery, signed=False) for delivery in deliveries]


def late(_prediction: Prediction, deliveries: Plan, *, seconds: float = 5.0) -> Plan:
    """Everything is sent later than it should."""
    return [replace(delivery, at=delivery.at + seconds) for delivery in deliveries]


PLANS: Mapping[str, Callable[..., Plan]] = {
    fault.__name__: fault for fault in (never, duplicated, out_of_order, badly_signed, late)
}
