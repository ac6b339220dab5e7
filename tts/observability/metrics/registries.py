"""Which metrics a process shows: those of its own parts."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, disable_created_metrics

# When a counter began, nobody asks; these would be a third of all series.
disable_created_metrics()  # type: ignore[no-untyped-call]

PROCESS = CollectorRegistry()  # of every process
GATE = CollectorRegistry()  # of who looks at the gate: gateways and processors
GATEWAY = CollectorRegistry()
RELAY = CollectorRegistry()
PROCESSOR = CollectorRegistry()
PROJECTOR = CollectorRegistry()

_shown: set[int] = set()


def show(*registries: CollectorRegistry) -> None:
    """Export the metrics of these parts from now on; again is fine."""
    for registry in registries:
        if id(registry) not in _shown:
            _shown.add(id(registry))
            REGISTRY.register(registry)
