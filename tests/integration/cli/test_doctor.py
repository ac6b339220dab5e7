"""``tts doctor`` finds what is wrong with a set-up, says what to do, and changes nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import aiormq
import pytest
import soundfile
from click.testing import CliRunner

from tests.services.ports import free_port
from tests.services.postgres import Postgres
from tests.services.rabbitmq import RabbitMQ
from tests.services.s3 import S3
from tts.cli.commands import main
from tts.queue.rabbitmq import topology

HIDDEN = "hunter2"
Lines = Mapping[str, str]
Doctor = Callable[..., tuple[int, Lines]]


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Doctor:
    """Runs it with these settings: the exit code, and of each subject what is wrong or noted."""
    monkeypatch.chdir(tmp_path)

    def run(**settings: str) -> tuple[int, Lines]:
        env = {"PORT": str(free_port()), **settings}
        result = CliRunner().invoke(main, ["doctor"], env=env)
        assert HIDDEN not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        found = {}
        for line in result.output.splitlines():
            level, _, rest = line.partition(" ")
            if level in {"note", "wrong"}:
                subject, _, text = rest.strip().partition("  ")
                found[subject] = text.strip()
        return result.exit_code, found

    return run


def test_a_folder_and_nothing_else_is_well(doctor: Doctor, tmp_path: Path):
    """It ends with 0 on an empty folder, and leaves it empty."""
    assert doctor()[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_every_wrong_setting_has_its_line(doctor: Doctor):
    """With the name of the setting, and no secret."""
    code, wrong = doctor(PORT="many", RETRY_JITTER="some", REPLICATE_API_TOKEN=f"a {HIDDEN}")
    assert (code, set(wrong)) == (1, {"PORT", "RETRY_JITTER", "REPLICATE_API_TOKEN"})
    assert "whole number" in wrong["PORT"]


def test_a_format_that_this_machine_cannot_write(doctor: Doctor, monkeypatch: pytest.MonkeyPatch):
    """It is wrong to be set so; else somebody may still ask for it."""
    monkeypatch.setattr(soundfile, "check_format", lambda *_: False)
    code, wrong = doctor(AUDIO_FORMAT="opus")
    assert (code, set(wrong)) == (1, {"AUDIO_FORMAT"})
    assert "pip install" in wrong["AUDIO_FORMAT"]
    assert doctor()[0] == 0


@pytest.fixture
def taken() -> Iterator[str]:
    """A port that somebody listens on who is not us."""
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        yield str(listener.getsockname()[1])


def test_this_machine(doctor: Doctor, tmp_path: Path, taken: str):
    """A folder that is a file, no keys, a port that is taken, a name that is no setting."""
    (tmp_path / "a-file").touch()
    (tmp_path / ".env").write_text("REPLICATE_API_TOKN=x\n")
    settings = {"DATA_DIR": "a-file/data", "PORT": taken, "TTS_API_KEYS_FILE": "keys.json"}
    code, wrong = doctor(**settings, TLS_CA_FILE="a-file", TEMPLATE_BASE_URL="https://x.example")
    assert code == 1
    assert "no file can be made in the folder" in wrong["DATA_DIR"]
    assert "stop what listens there" in wrong["PORT"]
    assert "tts keys add" in wrong["Keys"]
    assert "cannot be read as certificates" in wrong["TLS_CA_FILE"]
    assert "is REPLICATE_API_TOKEN meant?" in wrong["Settings"]


def test_others_come_in_without_keys(doctor: Doctor):
    """As a start would say."""
    _, wrong = doctor(PUBLIC_URL="https://tts.example.com")
    assert "TTS_ALLOW_ANONYMOUS=1" in wrong["Keys"]


def test_services_that_are_not_there(doctor: Doctor):
    """Each is named by its setting, with what to look at."""
    nowhere = f"127.0.0.1:{free_port()}"
    code, wrong = doctor(
        EVENT_STORE_URL=f"postgresql://tts:{HIDDEN}@{nowhere}/tts",
        RABBITMQ_URL=f"amqp://tts:{HIDDEN}@{nowhere}/",
        MINIO_ENDPOINT=nowhere,
        MINIO_ACCESS_KEY="tts",
        MINIO_SECRET_KEY=HIDDEN,
        REPLICATE_API_TOKEN=HIDDEN,
        REPLICATE_BASE_URL=f"http://{nowhere}",
        TEMPLATE_BASE_URL=f"http://{nowhere}",
    )
    assert code == 1
    names = ("EVENT_STORE_URL", "RABBITMQ_URL", "MINIO_ENDPOINT", "REPLICATE_API_TOKEN")
    for name in (*names, "TEMPLATE_BASE_URL"):
        assert "right" in wrong[name], name


def test_a_file_that_is_no_database(doctor: Doctor, tmp_path: Path):
    """A damaged log is no empty one."""
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "tts.db").write_bytes(b"x" * 5000)
    _, wrong = doctor()
    assert "restore it from a backup" in wrong["Event store"]


def test_a_database(doctor: Doctor, postgres: Postgres):
    """One that is there is well, clock included; of one that is not, it says to make it."""
    url = postgres.create_database()
    assert doctor(EVENT_STORE_URL=url)[0] == 0
    assert postgres.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    code, wrong = doctor(EVENT_STORE_URL=url + "x")
    assert (code, "does not exist; make it" in wrong["EVENT_STORE_URL"]) == (1, True)


def test_a_broker(doctor: Doctor, rabbitmq: RabbitMQ):
    """A password that is refused, and a queue that an older service has left behind."""
    url = rabbitmq.create_vhost()
    assert doctor(RABBITMQ_URL=url)[0] == 0
    user, at, place = url.removeprefix("amqp://").partition("@")
    wrong_password = f"amqp://{user.partition(':')[0]}:{HIDDEN}{at}{place}"
    assert "correct user and password" in doctor(RABBITMQ_URL=wrong_password)[1]["RABBITMQ_URL"]
    old = rabbitmq.create_vhost()
    asyncio.run(_declare_as_before(old))
    code, wrong = doctor(RABBITMQ_URL=old)
    assert (code, "run `tts migrate rabbitmq`" in wrong["RABBITMQ_URL"]) == (1, True)


async def _declare_as_before(url: str) -> None:
    connection = await aiormq.connect(url)
    channel = await connection.channel()
    await channel.queue_declare(topology.RETRY, durable=True)
    await connection.close()


def test_a_bucket(doctor: Doctor, s3: S3):
    """One that is there is well; it makes none; a wrong secret is called so."""
    for _ in range(2):
        _, wrong = doctor(**s3.settings, MINIO_BUCKET="of-nobody")
        assert "correct MINIO_BUCKET" in wrong["MINIO_ENDPOINT"]
    _, wrong = doctor(**{**s3.settings, "MINIO_SECRET_KEY": HIDDEN})
    assert "correct MINIO_SECRET_KEY" in wrong["MINIO_ENDPOINT"]
