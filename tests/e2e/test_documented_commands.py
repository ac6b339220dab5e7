"""What the documents tell people to type works, word by word.

Every command has a way below: it is executed here, against one service that runs; or another test
executes it; or it cannot be tried on a machine without what it needs. One without a way fails.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import httpx
import pytest

from tests.documents import ROOT, blocks, commands, text
from tests.services import tts
from tests.services.ports import free_port
from tests.services.process import run
from tests.waiting import wait_until
from tts.cli.commands import main
from tts.client import Client

DOCUMENTS = (
    "README.md",
    "README.zh.md",
    "ops/README.md",
    "ops/capacity.md",
    "ops/benchmarks.md",
)
PRINTED_TASK = "5c0e…"


class Site:
    """A folder like the project's, and the service running in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        for name in ("Makefile", "pyproject.toml", "requirements.lock", "ops", "tests", ".venv"):
            (folder / name).symlink_to(ROOT / name)
        self._env = {
            "PORT": str(self.port),
            "SANDBOX_PORT": str(free_port()),
            "DATA_DIR": str(folder / "data"),
        }
        self._service = tts.Tts("up", env=self._env)
        self._service.wait_for(f"http://127.0.0.1:{self.port}/health")
        self.client = Client(f"http://127.0.0.1:{self.port}", trust_env=False)

    def failed_task(self) -> str:
        """The id of a new task that has failed, and is on the list of those."""
        task_id = self.client.generate("missing1", "你好").task_id
        wait_until(lambda: self.get(f"/api/dead-letters/{task_id}"), "the task is a dead letter")
        wait_until(lambda: task_id in str(self.get("/api/dead-letters")), "it is on the list")
        return task_id

    def get(self, path: str) -> Any:
        """What the service answers, or nothing."""
        answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False)
        return answer.json()["data"] if answer.is_success else None

    def run(self, command: str, **env: str) -> str:
        """What a command prints; it ends well, and finds what a user would have around it."""
        command = command.replace("3002", str(self.port))
        if command.startswith("tts "):
            done = tts.run(self.folder, *shlex.split(command)[1:], **{**self._env, **env})
        else:
            done = subprocess.run(
                ["bash", "-euc", command],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], **env},
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def stop(self) -> None:
        """End the service."""
        self.client.close()
        self._service.stop()


Way = Callable[[Site, str], object]


def runs(site: Site, command: str) -> None:
    """As it stands there."""
    site.run(command)


def answers(site: Site, command: str) -> None:
    """The service takes it."""
    assert json.loads(site.run(command))["success"]


def streams(site: Site, command: str) -> None:
    """Of a task that was posted, to its end."""
    command = command.replace(PRINTED_TASK, site.client.generate("template1", "你好").task_id)
    limited = command.replace("curl -N", "curl -sN --max-time 3", 1) + " || test $? = 28"
    wait_until(lambda: '"status":"succeeded"' in site.run(limited), "the stream tells the end")


def made(site: Site, command: str) -> None:
    """The target exists, and so does everything that it is made of."""
    site.run(command.replace("make", "make --dry-run", 1))


def of_a_failed_task(site: Site, command: str) -> None:
    """With its id."""
    site.run(command.replace("<id>", site.failed_task()))


def redrives(site: Site, command: str) -> None:
    """A failed task is tried again, and fails again."""
    task_id = site.failed_task()
    site.run(command)

    def failures() -> int:
        events = site.get(f"/api/tts/task/{task_id}/events")["events"]
        return [event["status"] for event in events].count("failed")

    wait_until(lambda: failures() == 2, "it is tried again")


def of_the_first_key(site: Site, command: str) -> None:
    """With the id of a key that there is."""
    (found, *_) = re.findall(r"^\w+", site.run("tts keys list --file keys.json"), re.MULTILINE)
    site.run(command.replace("<id>", found))


def of_a_list(site: Site, command: str) -> None:
    """Of the one that everybody looks at."""
    site.run(command.replace("NAME", "tasks"))


def of_a_backup(site: Site, command: str) -> None:
    """Into, or out of, a folder of the test."""
    command = command.replace("/backups", str(site.folder / "backups"))
    site.run(command, **({"DATA_DIR": str(site.folder / "new")} if "restore" in command else {}))


def of_an_archive(site: Site, command: str) -> None:
    """Into a folder of the test; nothing is old enough."""
    site.run(command.replace("/archive", str(site.folder / "archive")))


def with_a_broker(site: Site, command: str) -> None:
    """All but the broker's own program, which gets what it would get."""
    got = site.run(f"rabbitmqctl() {{ cat; }}; {command}")
    assert "staging" in {vhost["name"] for vhost in json.loads(got)["vhosts"]}


def activates(site: Site, command: str) -> None:
    """Then ``tts`` and ``python`` are the project's."""
    found = site.run(f"set +u; {command}; command -v tts python", PATH="/usr/bin:/bin").split()
    assert [path.partition(".venv/")[2] for path in found] == ["bin/tts", "bin/python"]


def elsewhere(file: str, *words: str) -> Way:
    """Another test executes it: the file, and what in it does."""

    def is_there(_site: Site, command: str) -> None:
        found = text(file)
        assert all(word in found for word in words), f"{file} does not execute {command}"

    return is_there


def untried(_reason: str) -> Way:
    """Not to be executed here, for that reason; the shell can read it all the same."""

    def is_read(_site: Site, command: str) -> None:
        words = re.sub(r"<(\w+)>", r"\1", command)
        run("bash", "-nc", words)

    return is_read


AS_ROOT = untried("it changes the machine; .ci/run installs the same")
MINIO = untried("there is no MinIO for Debian; tests/ops/test_audio_store.py tries both files")
OTHERS = elsewhere("tests/services/distributed.py", '"gateway", "relay", "processor", "projector"')
WORKERS = elsewhere("tests/e2e/test_workers.py", '"--workers", "2"')
BROKER = elsewhere("tests/ops/test_rabbitmq.py", '"add_user"', '"import_definitions"')
QUEUES = elsewhere("tests/integration/cli/test_migrate_rabbitmq.py", '["migrate", "rabbitmq"]')
ARCHIVE = elsewhere("tests/integration/cli/test_archive.py", '"show"', '"rebuild"', '"restore"')
ROLES = elsewhere("tests/ops/test_postgres.py", '"roles.sql", password=')

WAYS: Mapping[str, Way] = {
    # README
    "apt-get install -y make python3-venv curl": AS_ROOT,
    "make run": made,
    ". .venv/bin/activate": activates,
    """curl -s http://127.0.0.1:3002/api/tts -H 'Content-Type: application/json' """
    """-d '{"templateId": "template1", "tts_text": "你好，欢迎使用语音合成服务。"}'""": answers,
    'curl -N "http://127.0.0.1:3002/events?taskId=5c0e…"': streams,
    "curl -s http://127.0.0.1:3002/api/webhooks/secret": answers,
    "tts webhooks secret --owner shop": runs,
    "tts webhooks list --state failed": runs,
    "tts webhooks replay --failed": runs,
    "tts keys add --owner shop --role app --file keys.json": runs,
    "tts keys add --owner trial --characters-per-day 20000 --file keys.json": runs,
    "tts keys list --file keys.json": runs,
    "tts keys revoke <id> --file keys.json": of_the_first_key,
    "tts keys add --max-tasks N --characters-per-day N": untried("a part of the command above"),
    "make setup": made,
    "make test": made,
    "make lint": made,
    "make lock": made,
    "make audit": made,
    "make cluster": made,
    "make chaos": made,
    "make screenshots": made,
    "make dist": made,
    "make generators": made,
    "make bench": made,
    "tts gateway --workers 4": WORKERS,
    "tts up --workers 4": WORKERS,
    "tts --help": runs,
    "tts doctor": runs,
    "tts retry-policy": runs,
    "tts dead-letters list": runs,
    "tts projections list": runs,
    "tts projections rebuild NAME": of_a_list,
    "tts webhooks list": runs,
    "tts migrate": runs,
    "tts migrate rabbitmq": QUEUES,
    "tts relay --rebuild": untried("it wants a broker; tests/integration/relay rebuild"),
    "kill -HUP": untried("whose, is yours to know; tests/e2e/test_workers.py sends it"),
    "npm run start:cluster": untried("of the service that this one replaces"),
    'pip install ".[otel]"': elsewhere("pyproject.toml", "\notel = ["),
    'pip install ".[docs]"': elsewhere("pyproject.toml", "\ndocs = ["),
    'python -m pytest tests/chaos/test_outages.py -m ""': untried("make chaos runs it, in minutes"),
    # The runbook
    "rabbitmqctl add_user tts-production": BROKER,
    "rabbitmqctl add_user tts-staging": BROKER,
    "rabbitmqctl import_definitions ops/rabbitmq/definitions.json": BROKER,
    "sed s/production/staging/g ops/rabbitmq/definitions.json "
    "| rabbitmqctl import_definitions": with_a_broker,
    "rabbitmq-plugins enable rabbitmq_management": untried("it changes the broker of the machine"),
    "mc alias set voice http://127.0.0.1:9000 <admin> <password>": MINIO,
    "mc mb voice/tts-audio": MINIO,
    "mc ilm rule import voice/tts-audio < ops/minio/lifecycle.json": MINIO,
    "mc admin policy create voice tts-audio ops/minio/policy.json": MINIO,
    "mc admin user add voice <MINIO_ACCESS_KEY> <MINIO_SECRET_KEY>": MINIO,
    "mc admin policy attach voice tts-audio --user <MINIO_ACCESS_KEY>": MINIO,
    "psql -v ON_ERROR_STOP=1 -v password=… -f ops/postgres/roles.sql": ROLES,
    "tts migrate --grant tts": elsewhere("tests/ops/test_postgres.py", '"migrate", "--grant"'),
    "tts dead-letters list --code template_not_found": runs,
    "tts dead-letters show <id>": of_a_failed_task,
    "tts dead-letters redrive --code template_not_found "
    '--reason "the voice is there now"': redrives,
    'tts dead-letters dismiss <id> --reason "nobody waits for it any more"': of_a_failed_task,
    'tts dead-letters redrive --code template_not_found --reason "音色已上传"': redrives,
    'tts dead-letters dismiss <id> --reason "没有人再等它"': of_a_failed_task,
    "tts backup /backups/2026-11-26": of_a_backup,
    "tts restore /backups/2026-11-26": of_a_backup,
    "tts archive --before 90d --to /archive": of_an_archive,
    "tts archive list /archive": of_an_archive,
    "tts archive show /archive <id>": ARCHIVE,
    "tts projections rebuild tasks --archive /archive": ARCHIVE,
    "tts archive restore /archive": ARCHIVE,
    "make ops": made,
    "make bench BENCH=archive": made,
    **{f'make bench BENCH="--record {name}"': made for name in ("peers", "soak")},
    "python -m tests.bench capacity": elsewhere("tests/bench/__main__.py", "capacity.main"),
    "pip install --force-reinstall --only-binary soundfile soundfile": untried(
        "it changes the environment that the tests run in"
    ),
    "kubectl apply -k ops/kubernetes": untried("tests/ops/test_kubernetes.py reads the files"),
    "journalctl -u 'tts@*' -o cat": untried("tests/ops/test_systemd.py has systemd read the unit"),
    "systemctl status": untried("it asks the machine's own systemd"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all commands, in the order of the documents."""
    site = Site(tmp_path_factory.mktemp("site"))
    yield site
    site.stop()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_has_a_way(name: str) -> None:
    """A new one that nobody executes is not told to anybody."""
    mentioned = {command for command in commands(text(name)) if not _is_a_name(command)}
    assert mentioned <= WAYS.keys()


def test_every_way_is_of_a_command() -> None:
    """None is left over from an older text."""
    told = {command for name in DOCUMENTS for command in commands(text(name))}
    assert told >= WAYS.keys()


def test_the_commands_work(site: Site) -> None:
    """In the order of the documents, one after the other, as somebody would who reads them."""
    for command, way in WAYS.items():
        way(site, command)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_of_ours_exists(name: str) -> None:
    """Each ``tts …`` has a command and options that there are, be it in passing."""
    for command in commands(text(name)):
        if command.startswith("tts "):
            _exists(main, shlex.split(re.sub(r"[<>]", "", command))[1:])


def test_no_command_hides_in_another_block() -> None:
    """A block says what it is; one of text or settings is none of commands."""
    for name in DOCUMENTS:
        assert blocks(text(name), "") == [], f"{name} has a block without a language"
        for block in blocks(text(name), "text", "json", "ini"):
            assert not re.search(r"^\s*(\$ |(curl|make|tts [a-z]+) )", block, re.MULTILINE), block


def _is_a_name(command: str) -> bool:
    """Words such as `tts dead-letters redrive`, which speak of a command and give it nothing."""
    return re.fullmatch(r"(\.venv/bin/)?tts( [a-z-]+)+", command) is not None


def _exists(command: click.Command, words: list[str]) -> None:
    words = list(words)
    while words:
        word = words.pop(0)
        if word.startswith("-"):
            options = {name: option for option in command.params for name in option.opts}
            if word == "--help":
                continue
            assert word in options, word
            if not options[word].is_flag:
                words.pop(0)
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            assert found is not None, word
            command = found


def test_the_example_of_the_python_client_works(site: Site) -> None:
    """It ends with the address of the audio."""
    (program,) = blocks(text("tts/client/README.md"), "python")
    printed = site.run(f"cd {ROOT}; .venv/bin/python -c {shlex.quote(program)}")
    assert printed.splitlines()[-2] == "succeeded"
    assert printed.splitlines()[-1].startswith("http")
