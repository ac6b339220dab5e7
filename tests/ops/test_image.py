"""The Dockerfile, as far as it can be tried without building it."""

import json
import re
import subprocess
import sys
from contextlib import ExitStack

from tests.ops.files import OPS, ROOT, SETTINGS
from tests.services.ports import free_port
from tests.services.process import run
from tests.services.tts import Tts

DOCKERFILE = (OPS / "docker/Dockerfile").read_text()


def test_it_runs_as_nobody_and_ends_when_asked():
    """The process is PID 1 itself, under an account that is not root's."""
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["tts"\]$', DOCKERFILE, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", DOCKERFILE, re.MULTILINE)


def test_what_it_copies_is_there_and_is_not_ignored():
    """The context holds these alone, so that no secret gets into a layer."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    copied = {name for line in lines for name in line.split()}
    kept = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


def test_its_environment_is_the_services():
    """Settings, and two names of Python's."""
    block = re.search(r"^ENV ((?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)[1]
    names = set(re.findall(r"(\w+)=", block)) - {"PATH"}
    assert {name for name in names if not name.startswith("PYTHON")} <= SETTINGS


def test_the_health_check_asks_a_gateway_and_any_other_part(tmp_path):
    """It ends well while the process answers, and badly when nobody does."""
    command = re.search(r"HEALTHCHECK (?:--\S+ )+CMD ((?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)
    _, *arguments = json.loads(command[1].replace("\\\n", ""))

    def healthy(**env):
        check = [sys.executable, *arguments]
        return not subprocess.run(check, env=env, capture_output=True, check=False).returncode

    gateway, projector = free_port(), free_port()
    with ExitStack() as stack:
        for arguments_, port, env in (
            (("gateway", "--port", str(gateway)), gateway, {}),
            (("projector",), projector, {"METRICS_PORT": str(projector)}),
        ):
            process = Tts(*arguments_, "--data", str(tmp_path), env=env)
            stack.callback(process.stop)
            process.wait_for(f"http://127.0.0.1:{port}/health")
        assert healthy(PORT=str(gateway))
        assert healthy(PORT=str(gateway), METRICS_PORT="0")
        assert healthy(METRICS_PORT=str(projector))
    assert not healthy(PORT=str(gateway))


def test_the_versions_in_it_are_the_locked_ones():
    """The line that reads the lock file finds every package of it."""
    expression = re.search(r"sed -n '(.+)' requirements.lock", DOCKERFILE)[1]
    lines = run("sed", "-n", expression, str(ROOT / "requirements.lock")).splitlines()
    lock = (ROOT / "requirements.lock").read_text()
    assert len(lines) == len(re.findall(r"^\S+==\S+ ", lock, re.MULTILINE))
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", line) for line in lines)
