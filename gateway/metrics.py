"""What the gateway counts; ``GET /metrics`` shows it with the rest of the process."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from tts.observability.metrics.registries import GATEWAY

OPEN_STREAMS = Gauge("tts_open_streams", "Streams that are open.", registry=GATEWAY)
SLOW_STREAMS = Counter(
    "tts_slow_streams_total", "Streams cut because their reader was too slow.", registry=GATEWAY
)
FRAMES = Counter(
    "tts_stream_frames_total", "Frames handed to streams, heartbeats left out.", registry=GATEWAY
)
DELAY = Histogram(
    "tts_stream_delay_seconds",
    "Time from an event to its frames, of the oldest event that went out together.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=GATEWAY,
)
HUB_POSITION = Gauge(
    "tts_hub_position",
    "Position of the last event handed to streams while somebody listened.",
    registry=GATEWAY,
)


class Requests(Collector):
    """Counts each request on the event loop alone.

    The library's own counters take a lock and look up labels: several microseconds for each
    request, a tenth of what accepting one costs.
    """

    buckets = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
    route_buckets = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
        self._answered: Counts[tuple[str, str, int]] = Counts()
        self._accepted = [0] * (len(self.buckets) + 1)
        self._accept_seconds = 0.0

    def expect(self, method: str, route: str) -> None:
        """There is such a route: its failures count from zero."""
        for status in (200, 500, 503):
            self._answered.setdefault((method, route, status), 0)
        self._routes.setdefault((method, route), ([0] * (len(self.route_buckets) + 1), [0.0]))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request got its answer; a stream gets it when it begins."""
        self._answered[method, route, status] += 1
        if (times := self._routes.get((method, route))) is not None:
            times[0][bisect_left(self.route_buckets, seconds)] += 1
            times[1][0] += seconds

    def accepted(self, seconds: float) -> None:
        """A text was accepted, ``seconds`` after its request was read."""
        self._accepted[bisect_left(self.buckets, seconds)] += 1
        self._accept_seconds += seconds

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        """For Prometheus."""
        answered = CounterMetricFamily(
            "tts_http_requests",
            "Requests answered. A stream counts when it begins.",
            labels=("method", "route", "status"),
        )
        for (method, route, status), count in self._answered.items():
            answered.add_metric((method, route, str(int(status))), count)
        yield answered
        latency = HistogramMetricFamily(
            "tts_http_request_seconds",
            "Time from a request to its answer, by route.",
            labels=("method", "route"),
        )
        for (method, route), (counts, (total,)) in self._routes.items():
            latency.add_metric((method, route), _buckets(self.route_buckets, counts), total)
        yield latency
        yield HistogramMetricFamily(
            "tts_accept_seconds",
            "Time from a parsed POST /api/tts to its event on disk.",
            buckets=_buckets(self.buckets, self._accepted),
            sum_value=self._accept_seconds,
        )


def _buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """As Prometheus has them: each with what is in the smaller ones."""
    return list(zip((*map(str, bounds), "+Inf"), accumulate(counts), strict=True))


REQUESTS = Requests()
GATEWAY.register(REQUESTS)
