"""What a start says, waits for and leaves behind."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.services import tts
from tests.services.ports import free_port
from tests.services.postgres import Postgres
from tests.services.tts import Tts
from tests.waiting import wait_until

GREETING = "From a terminal"
HIDDEN = "hunter2"


@pytest.fixture
def server():
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture
def start():
    """Start processes that are stopped at the end."""
    processes = []

    def start_one(*arguments: str, **env: str) -> Tts:
        processes.append(Tts(*arguments, env=env))
        return processes[-1]

    yield start_one
    for process in processes:
        with contextlib.suppress(FileNotFoundError):  # one that did not start is cleared away
            process.stop()


def run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in ``folder``; it prints no traceback."""
    result = tts.run(folder, *arguments, **env)
    assert "Traceback" not in result.stderr
    assert GREETING not in result.stdout
    return result


@pytest.fixture
def taken():
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        yield str(listener.getsockname()[1])


def test_a_gateway_waits_for_the_database(server):
    """It says so, and serves as soon as the database does."""
    url = server.create_database()
    server.halt()
    port = free_port()
    process = Tts("gateway", "--port", str(port), env={"EVENT_STORE_URL": url})
    try:
        wait_until(lambda: "Waiting for the event store" in process.log, "the gateway waits")
        server.start()
        process.wait_for(f"http://127.0.0.1:{port}/health")
    finally:
        process.stop()


def test_a_start_that_waits_ends_when_it_is_told_to(tmp_path):
    """Ctrl-C is heard while it waits for a server, and is no failure."""
    url = f"postgresql://user@127.0.0.1:{free_port()}/tts"
    with subprocess.Popen(
        [sys.executable, "-m", "tts", "gateway"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PORT": str(free_port()), "EVENT_STORE_URL": url},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert any("Waiting for the event store" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0  # the patience of a start is a minute
        assert "Traceback" not in process.stderr.read()


def test_a_taken_port_ends_the_start(tmp_path, taken):
    """Before anything is made: a sentence with the setting, and 1 for "try again"."""
    result = run(tmp_path, "up", "--port", taken)
    assert result.returncode == 1
    assert f"PORT: cannot listen on 127.0.0.1:{taken}" in result.stderr
    assert not (tmp_path / "data").exists()


def test_a_sandbox_takes_another_port(start, tmp_path):
    """A second `tts up` works beside the first; it says where its sandbox is."""
    first, second = free_port(), free_port()
    start("up", "--port", str(first), "--data", str(tmp_path / "a")).wait_for(
        f"http://127.0.0.1:{first}/health"
    )
    process = start("up", "--port", str(second), "--data", str(tmp_path / "b"))
    process.wait_for(f"http://127.0.0.1:{second}/health")
    assert "Port 3003 is taken" in process.log
    assert _speaks(second)


def test_a_second_one_in_the_same_folder_says_so(start, tmp_path):
    """It serves, and the first one does the work."""
    first, second = free_port(), free_port()
    start("up", "--port", str(first), "--data", str(tmp_path)).wait_for(
        f"http://127.0.0.1:{first}/health"
    )
    process = start("up", "--port", str(second), "--data", str(tmp_path))
    process.wait_for(f"http://127.0.0.1:{second}/health")
    assert "is in use by another `tts up`" in process.log
    assert _speaks(second)


def _speaks(port: int) -> bool:
    answer = httpx.post(
        f"http://127.0.0.1:{port}/api/tts",
        json={"templateId": "template1", "tts_text": "你好，世界。"},
        headers={"Prefer": "wait=30"},
        timeout=40,
        trust_env=False,
    )
    return answer.json()["data"]["status"] == "succeeded"


def test_a_port_for_the_sandbox_is_kept(tmp_path, taken):
    """Who sets SANDBOX_PORT is not given another."""
    result = run(tmp_path, "up", "--port", str(free_port()), SANDBOX_PORT=taken)
    assert (result.returncode, f"SANDBOX_PORT: cannot listen on port {taken}" in result.stderr) == (
        1,
        True,
    )
    assert run(tmp_path, "sandbox", "--port", taken).returncode == 1


@pytest.mark.parametrize("folder", ["/dev/null/data", "/proc/data", "./a-file"])
def test_an_unusable_data_folder_ends_the_start(tmp_path, folder):
    """A file, what cannot be written, what cannot be made: a sentence that names the folder."""
    (tmp_path / "a-file").touch()
    for command in ("up", "sandbox"):
        result = run(tmp_path, command, PORT=str(free_port()), DATA_DIR=folder, SANDBOX_PORT="0")
        assert result.returncode == 2
        assert "DATA_DIR: no file can be made in the folder" in result.stderr
        assert Path(folder).name in result.stderr
    url = f"sqlite:///{folder}/tts.db"
    result = run(tmp_path, "gateway", PORT=str(free_port()), EVENT_STORE_URL=url)
    assert (result.returncode, "EVENT_STORE_URL: no file can" in result.stderr) == (2, True)


@pytest.mark.parametrize("name", ["audio", "tts.lock", "sandbox/predictions.jsonl"])
def test_a_data_folder_with_something_strange_in_it_ends_the_start(tmp_path, name):
    """A file where a folder should be, the other way round, and a journal that is none."""
    strange = tmp_path / "data" / name
    strange.parent.mkdir(parents=True)
    strange.mkdir() if name == "tts.lock" else strange.write_text("no journal\n")
    result = run(tmp_path, "up", PORT=str(free_port()), SANDBOX_PORT="0")
    assert result.returncode == 2
    assert "DATA_DIR: " in result.stderr
    assert str(Path("data") / name).removesuffix("/predictions.jsonl") in result.stderr


@pytest.mark.parametrize(
    ("env", "setting"),
    [
        ({"PUBLIC_URL": "https://tts.example.com"}, "PUBLIC_URL"),
        ({"PROXIES_COUNT": "1"}, "PROXIES_COUNT"),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS"),
        ({"HOST": "0.0.0.0"}, "HOST"),  # noqa: S104 -- refused
    ],
)
def test_nobody_is_let_in_without_a_word(tmp_path, env, setting):
    """What others can reach needs keys, or somebody who says that it does not."""
    result = run(tmp_path, "up", PORT=str(free_port()), SANDBOX_PORT="0", **env)
    assert result.returncode == 2
    assert f"{setting}: " in result.stderr
    assert "TTS_ALLOW_ANONYMOUS=1" in result.stderr


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:pass@{HIDDEN}@127.0.0.1:1/db",
        f"postgresql://user:{HIDDEN}/x@127.0.0.1:1/db",
        f"postgresql://user:{HIDDEN}%@127.0.0.1:1/db",
        f"postgresql://user:x@127.0.0.1:1/db?{HIDDEN}=1",
        f"postgresql://user:x@127.0.0.1:1/db?port={HIDDEN}",
        f"mysql://user:{HIDDEN}@127.0.0.1/db",
    ],
)
def test_a_database_url_is_not_shown(tmp_path, url):
    """However wrong it is, no part of it gets into a message."""
    result = run(tmp_path, "gateway", PORT=str(free_port()), EVENT_STORE_URL=url)
    assert result.returncode == 2
    assert result.stderr.count("EVENT_STORE_URL: ") == 1
    assert HIDDEN not in result.stderr


def test_what_is_made_is_ours_alone(start, tmp_path):
    """Nobody else can read databases, audio, or what the sandbox keeps."""
    port, folder = free_port(), tmp_path / "new" / "data"
    start("up", "--port", str(port), "--data", str(folder), SANDBOX_PORT="0").wait_for(
        f"http://127.0.0.1:{port}/health"
    )
    assert _speaks(port)
    made = [folder, *folder.rglob("*")]
    assert {"tts.db", "audio", "sandbox", "predictions.jsonl"} <= {path.name for path in made}
    assert [path for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_health_tells_of_a_place_that_cannot_be_written(start, tmp_path):
    """Before anybody has asked for a long text; and it is healthy when that is mended."""
    work = tmp_path / "data" / "work"
    work.parent.mkdir()
    work.touch()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = start("up", "--port", str(port), "--data", str(work.parent), SANDBOX_PORT="0")
    process.wait_for(f"{url}/metrics")
    answer = httpx.get(f"{url}/health", timeout=10, trust_env=False)
    assert answer.status_code == 503
    assert answer.json()["error"].startswith("workplace: ")
    assert str(tmp_path) not in answer.text
    wait_until(lambda: "DATA_DIR: Long audio cannot be put together" in process.log, "the log why")
    work.unlink()
    process.wait_for(f"{url}/health")


def test_what_others_can_read_is_named(tmp_path, taken):
    """Keys, .env and data that were made before are left as they are, with a warning."""
    keys, env, data = tmp_path / "keys.json", tmp_path / ".env", tmp_path / "data"
    run(tmp_path, "keys", "add", "--owner", "me", "--file", str(keys))
    env.write_text("REPLICATE_API_TOKN=x\n")
    data.mkdir()
    settings = {"TTS_API_KEYS_FILE": str(keys), "SANDBOX_PORT": taken, "PORT": str(free_port())}
    for path, mode in ((keys, 0o640), (env, 0o604), (data, 0o755)):
        path.chmod(mode)
    loud = run(tmp_path, "up", **settings).stderr
    for path, mode in ((keys, "640"), (".env", "604"), ("data", "755")):
        assert f"can read {path} (mode {mode}): chmod go= {path}" in loud
    assert "REPLICATE_API_TOKN' is no setting; is REPLICATE_API_TOKEN meant?" in loud
    for path, mode in ((keys, 0o600), (env, 0o600), (data, 0o700)):
        path.chmod(mode)
    assert "others can read" not in run(tmp_path, "up", **settings).stderr


def test_what_the_greeting_shows_works_with_keys_too(start, tmp_path):
    """Pasted as it stands: a key is made, a text is taken, and the stream tells of it."""
    keys = tmp_path / "my keys.json"
    run(tmp_path, "keys", "add", "--owner", "me", "--file", str(keys))
    port = free_port()
    process = start("up", "--port", str(port), TTS_API_KEYS_FILE=str(keys), SANDBOX_PORT="0")
    process.wait_for(f"http://127.0.0.1:{port}/health")
    _, _, commands = process.log.partition(f"{GREETING}:\n")
    commands = commands.partition("\n\n{")[0].replace("curl -N", "exec curl -N --max-time 60")
    with subprocess.Popen(
        ["bash", "-c", commands],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as shell:
        said = iter(shell.stdout)
        for status in ("started", "starting"):
            assert any(f'"status":"{status}"' in line for line in said), status
        shell.kill()
