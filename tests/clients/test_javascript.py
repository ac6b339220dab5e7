import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.service import SLOW, Service
from tests.waiting import wait_until

HERE = Path(__file__).parent
SCRIPTS = HERE / "javascript"


def test_every_promise_of_the_client_holds_against_a_scripted_service(node):
    """Resume, backoff, watchdog, tokens, reset, waitFor: the suite for Node itself."""
    command = [node, "--test", "--test-timeout=60000", SCRIPTS / "client.test.mjs"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# skipped 0" in done.stdout


def test_the_declarations_compile_with_an_app_that_uses_them(node):
    """TypeScript users get the types of the module and of the script."""
    compiler = HERE / "node_modules" / "typescript" / "bin" / "tsc"
    options = ["--noEmit", "--strict", "--module", "nodenext", "--lib", "es2022,dom"]
    command = [node, compiler, *options, SCRIPTS / "types.ts"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout


class Follower:
    """A Node process that prints what it hears."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.heard: list[dict] = []
        self._reader = threading.Thread(target=self._read, args=(process,))
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self.heard.extend(json.loads(line) for line in process.stdout)

    def join(self) -> None:
        """Return when the process has ended and all that it said is heard."""
        self._reader.join()

    def updates(self) -> list[tuple[int, str]]:
        """Position and status of each update."""
        updates = [one["data"] for one in self.heard if one["event"] == "task_update"]
        return [(update["position"], update["status"]) for update in updates]

    def wait_for(self, status: str, times: int = 1) -> None:
        """Return when ``status`` was heard of so often."""
        wait_until(
            lambda: [s for _, s in self.updates()].count(status) >= times, f"{times} × {status}"
        )


@contextmanager
def following(node: str, service: Service, kind: str) -> Iterator[Follower]:
    command = [node, SCRIPTS / "follow.mjs", service.url, kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        follower = Follower(process)
        try:
            wait_until(lambda: bool(follower.heard), "the stream is open")
            yield follower
        finally:
            process.kill()
            follower.join()


@pytest.mark.parametrize("kind", ["client", "eventsource", "reconnecting-eventsource"])
def test_a_client_in_node_misses_nothing_when_the_gateway_is_killed(node, start, kind):
    """Ours, npm eventsource and npm reconnecting-eventsource hear each status once, in order."""
    service = start()
    with following(node, service, kind) as follower:
        tasks = [service.speak(), service.speak(SLOW)]
        follower.wait_for("prediction_created", times=2)
        service.restart()
        tasks.append(service.speak())
        follower.wait_for("succeeded", times=3)
        assert follower.updates() == service.told(*tasks)
        assert not [one for one in follower.heard if one["event"] == "reset"]
