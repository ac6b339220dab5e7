"""What is freed does not stay with the process."""

from __future__ import annotations

import subprocess
import sys

GROWTH_MB = 20  # of 80 that were used and freed, several times

LOAD = """
from pathlib import Path
from tts.cli.memory import return_large_blocks

def resident():
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) // 1024

return_large_blocks()
before, kept = resident(), []
for _ in range(5):
    audio = []
    for _ in range(200):
        audio.append(bytearray(400_000))
        kept.append(bytearray(3_000))  # something small lies between them, and stays
    del audio
print(resident() - before)
"""


def test_the_memory_of_audio_goes_back_to_the_system():
    """However much small that stays was made between."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) < GROWTH_MB
