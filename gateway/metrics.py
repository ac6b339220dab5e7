"""What the gateway counts; ``GET /metrics`` shows it with the rest of the process."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import Counter, Gauge
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

    def __init__(self) -> None:
        self._answered: Counts[tuple[str, str, int]] = Counts()
        self._accepted = [0] * (len(self.buckets) + 1)
        self._accept_seconds = 0.0

    def answered(self, method: str, route: str, status: int) -> None:
        """A request got its answer; a stream gets it when it begins."""
        self._answered[method, route, status] += 1

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
        bounds: Sequence[str] = (*map(str, self.buckets), "+Inf")
        yield HistogramMetricFamily(
            "tts_accept_seconds",
            "Time from a parsed POST /api/tts to its event on disk.",
            buckets=list(zip(bounds, accumulate(self._accepted), strict=True)),
            sum_value=self._accept_seconds,
        )


REQUESTS = Requests()
GATEWAY.register(REQUESTS)
