"""What the gateway counts; ``GET /metrics`` shows it with the rest of the process."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter(
    "tts_http_requests_total",
    "Requests answered. A stream counts when it begins.",
    ["method", "route", "status"],
)
ACCEPT_SECONDS = Histogram(
    "tts_accept_seconds",
    "Time from a parsed POST /api/tts to its event on disk.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
)
OPEN_STREAMS = Gauge("tts_open_streams", "Streams that are open.")
SLOW_STREAMS = Counter("tts_slow_streams_total", "Streams cut because their reader was too slow.")
FRAMES = Counter("tts_stream_frames_total", "Frames handed to streams, heartbeats left out.")
HUB_POSITION = Gauge(
    "tts_hub_position", "Position of the last event handed to streams while somebody listened."
)
