"""The units of ops/systemd, by systemd's own measure."""

import os
import re
import signal
import socket
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from tests.ops.files import OPS, SETTINGS, names_in
from tests.services.ports import free_port
from tests.services.process import program, run
from tts.cli.commands import COMMANDS
from tts.cli.deployments import Role
from tts.config import Settings

UNIT = (OPS / "systemd/tts@.service").read_text()
EXPOSURE_MAX = 20  # of 100; `systemd-analyze security` calls up to 20 "OK"


@pytest.fixture
def unit(tmp_path):
    """A unit of one part, with the program of this environment."""
    tts = Path(sys.executable).with_name("tts")
    text = UNIT.replace("/opt/tts/bin/tts", str(tts))
    for name in ("tts@gateway-2.service", "tts@.service"):
        (tmp_path / name).write_text(text)
    (tmp_path / "tts.target").write_text((OPS / "systemd/tts.target").read_text())
    return tmp_path / "tts@gateway-2.service"


def test_systemd_understands_every_line(unit):
    """An unknown or misplaced one would be ignored with a warning, which is one here."""
    program("systemd-analyze", "systemd")
    done = subprocess.run(
        ["systemd-analyze", "verify", unit, unit.with_name("tts.target")],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "tts" in line]
    assert (done.returncode, ours) == (0, [])


def test_it_exposes_little(unit):
    """By systemd's own measure."""
    run(
        "systemd-analyze",
        "security",
        "--offline=true",
        f"--threshold={EXPOSURE_MAX}",
        str(unit),
    )


def test_the_name_of_an_instance_says_what_it_runs():
    """What stands before the first dash is a command of the service."""
    script = re.search(r"^ExecStart=/bin/sh -c '(.+)' %i$", UNIT, re.MULTILINE)[1]
    script = script.replace("$$", "$").replace("%%", "%").replace("/opt/tts/bin/tts", "echo")
    for name in ("up", *Role):
        assert run("sh", "-c", script, name).strip() == name
        assert run("sh", "-c", script, f"{name}-2").strip() == name
        assert name in COMMANDS


def test_a_stop_is_longer_than_what_the_service_takes():
    """Else it is killed while it finishes what it has begun."""
    stop = int(re.search(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)[1])
    assert stop > Settings.model_fields["shutdown_seconds"].default


@pytest.mark.parametrize("words", [["gateway"], ["gateway", "--workers", "2"]])
def test_a_process_tells_that_it_turns_and_one_that_hangs_does_not(tmp_path, words):
    """What WatchdogSec goes by: it is told again and again, by the process that systemd started."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(60)
        # As systemd does it: the watched process is the one that the shell becomes.
        script = f'WATCHDOG_PID=$$ exec "{sys.executable}" -m tts "$@"'
        process = subprocess.Popen(
            ["sh", "-c", script, "tts", *words, "--port", str(free_port()), "--data", tmp_path],
            env={**os.environ, "NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "200000"},
        )
        try:
            assert [systemd.recv(100) for _ in range(5)] == [b"WATCHDOG=1"] * 5
            process.send_signal(signal.SIGSTOP)
            systemd.settimeout(1)
            said_before = iter(lambda: systemd.recv(100), None)
            with pytest.raises(TimeoutError):
                list(islice(said_before, 100))
            process.send_signal(signal.SIGCONT)
            systemd.settimeout(60)
            assert systemd.recv(100) == b"WATCHDOG=1"
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(60)


def test_its_environment_is_settings_alone():
    """A name that is none would be ignored without a word."""
    inline = re.findall(r"(\w+)=", re.search(r"^Environment=(.+)$", UNIT, re.MULTILINE)[1])
    files = [names_in(f"systemd/{path.name}") for path in (OPS / "systemd").glob("*.env")]
    assert set(inline).union(*files) <= SETTINGS


def test_every_part_tells_of_its_health():
    """A gateway on PORT; the others on ports of their own, without a word from anybody."""
    parts = [role for role in Role if role is not Role.GATEWAY]
    ports = [(OPS / f"systemd/{part}.env").read_text().split("METRICS_PORT=")[1] for part in parts]
    assert len({int(port) for port in ports}) == len(parts)
