"""Metrics of every process: what it is, what it needs, who leads, and the disk of its data."""

from __future__ import annotations

import contextlib
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from prometheus_client import Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tts.observability.metrics.known import Known
from tts.observability.metrics.registries import PROCESS
from tts.wire import Lag

BUILD = Gauge("tts_build_info", "1, with the version.", ["version", "python"], registry=PROCESS)
BUILD.labels(version("tts-backend"), platform.python_version()).set(1)
READY = Known(
    "tts_ready", "1 while what this process needs answers it, else 0.", ["need"], registry=PROCESS
)
LEADER = Known(
    "tts_leader",
    "1 for the process that leads, 0 for one that stands by.",
    ["kind"],
    registry=PROCESS,
)
LAG_SECONDS = Known(
    "tts_lag_seconds",
    "Age of the next event that the one who leads has to do.",
    ["kind"],
    registry=PROCESS,
)
LAG_EVENTS = Known(
    "tts_lag_events", "Events that the read models are behind the log.", ["kind"], registry=PROCESS
)

AUDIO_FILES = Known(
    "tts_audio_folder_files", "Files of audio in DATA_DIR, at the last look.", registry=PROCESS
)
AUDIO_BYTES = Known("tts_audio_folder_bytes", "Their size, at the last look.", registry=PROCESS)


def observe_audio_folder(files: int, size: int) -> None:
    """So much audio lies in the folder; a bucket has figures of its own."""
    AUDIO_FILES.set(files)
    AUDIO_BYTES.set(size)


def observe_leader(part: str, lag: Lag | None) -> None:
    """This process leads, and is so far behind; None: nobody knows."""
    LEADER.set(1, part)
    if lag is None:
        LAG_SECONDS.drop(part)
        LAG_EVENTS.drop(part)
        return
    LAG_SECONDS.set(lag["seconds"], part)
    if lag["events"] is not None:
        LAG_EVENTS.set(lag["events"], part)


def observe_standby(part: str) -> None:
    """This process stands by, and knows of no lag."""
    LEADER.set(0, part)
    LAG_SECONDS.drop(part)
    LAG_EVENTS.drop(part)


def observe_needs(needs: dict[str, str]) -> None:
    """What the process needs: ``ok``, or what is wrong."""
    READY.replace({need: float(answer == "ok") for need, answer in needs.items()})


class DataDisk(Collector):
    """The disk on which the data of this process lie."""

    def __init__(self) -> None:
        self.folder: Path | None = None

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Its names, for the registry."""
        yield from self._families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """For Prometheus; nothing for a process that keeps none, or while it cannot be asked."""
        if self.folder is None:
            return
        with contextlib.suppress(OSError):
            there = next(each for each in (self.folder, *self.folder.parents) if each.exists())
            usage = shutil.disk_usage(there)
            for family, value in zip(self._families(), (usage.total, usage.free), strict=True):
                family.add_metric((), value)
                yield family

    def _families(self) -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily("tts_data_disk_bytes", "Size of the disk of DATA_DIR.", labels=()),
            GaugeMetricFamily("tts_data_disk_free_bytes", "What is free there.", labels=()),
        )


DISK = DataDisk()
PROCESS.register(DISK)
