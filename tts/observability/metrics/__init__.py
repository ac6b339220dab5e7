"""Metrics. The core does not know them: each room tells facts to whoever observes it.

Each part has a registry of its own, which is shown where that part runs: a process exports what it
knows, and nothing of what others do. Counters are there from the start, with every label that they
can have; a gauge is there only while somebody knows what it says.
"""

from tts.observability.metrics.callbacks import observe_callbacks
from tts.observability.metrics.gate import observe_gate
from tts.observability.metrics.process import observe_audio_folder
from tts.observability.metrics.processor import observe_kept, observe_step, observe_storing
from tts.observability.metrics.relay import observe_relay
from tts.observability.metrics.store import observe_commit, observe_loss, observe_skew

__all__ = [
    "observe_audio_folder",
    "observe_callbacks",
    "observe_commit",
    "observe_gate",
    "observe_kept",
    "observe_loss",
    "observe_relay",
    "observe_skew",
    "observe_step",
    "observe_storing",
]
