"""A test run that is killed leaves nothing on the machine."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.process import root, run
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
RUN = """
import os, signal
from tests.services.clock import Clock
from tests.services.link import Link
from tests.services.nginx import Nginx
from tests.services.pgbouncer import PgBouncer
from tests.services.postgres import Postgres
from tests.services.postgres_pair import PostgresPair
from tests.services.tls import Authority

servers = [Postgres(disk=96), PostgresPair(), Nginx(1), Clock(), Authority()]
servers += [PgBouncer(servers[0].port), Link(servers[0].port)]
servers[1].fail_over()  # leaves one killed
servers[1].primary.freeze()
servers[-1].vanish()
print(servers[-1].port, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def traces(folder: Path) -> list[str]:
    """What is left of a run whose folders were made in ``folder``."""
    processes = [
        str(process)
        for process in Path("/proc").glob("[0-9]*")
        if str(folder) in command_line(process)
    ]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]
    return [*processes, *mounts, *map(str, folder.iterdir())]


def command_line(process: Path) -> str:
    """The arguments of a process, or none if it has ended meanwhile."""
    try:
        return (process / "cmdline").read_text(errors="replace")
    except OSError:
        return ""


@pytest.mark.cluster
def test_a_run_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    """No process, folder, mount or table of the firewall outlives it."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_until(lambda: not traces(tmp_path), "nothing is left", 20)
    assert done.stdout.strip() not in run(*root("/usr/sbin/nft", "list", "ruleset"))
