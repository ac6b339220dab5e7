"""A gauge that is shown only while its value is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Known(Collector):
    """A gauge without samples until it is set, and again when it is forgotten.

    The library's own would go on to show the last value, or 0 where nobody has ever known one.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        registry: CollectorRegistry,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._samples: dict[tuple[str, ...], float] = {}
        registry.register(self)

    def set(self, value: float, *labels: str) -> None:
        """Know it from now on."""
        self._samples[labels] = value

    def drop(self, *labels: str) -> None:
        """Know this one no longer."""
        self._samples.pop(labels, None)

    def replace(self, values: dict[str, float]) -> None:
        """Know these by their only label, and no others."""
        self._samples = {(label,): value for label, value in values.items()}

    def forget(self) -> None:
        """Know nothing any more."""
        self._samples = {}

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Its name, for the registry."""
        yield GaugeMetricFamily(self._name, self._documentation, labels=self._labels)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """For Prometheus; nothing at all while nothing is known."""
        if self._samples:
            family = GaugeMetricFamily(self._name, self._documentation, labels=self._labels)
            for labels, value in self._samples.items():
                family.add_metric(labels, value)
            yield family
