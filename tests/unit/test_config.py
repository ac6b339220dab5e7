"""Settings: documented, checked, and named when they are wrong."""

import re
from pathlib import Path

import pytest

from tts.config import ConfigError, Settings, load

EXAMPLE = Path(__file__).parents[2] / ".env.example"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    """No setting of this machine leaks in."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_the_example_lists_every_setting_with_its_default():
    """Nothing is missing from .env.example, unknown in it, or listed with an outdated default."""
    lines = EXAMPLE.read_text().splitlines()
    listed = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))
    assert set(listed) == {name.upper() for name in Settings.model_fields}
    Path(".env").write_text(EXAMPLE.read_text())
    assert load() == Settings(_env_file=None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("TTS_CONCURRENCY", "0"),
        ("RETRY_MULTIPLIER", "0.5"),
        ("RETRY_JITTER", "some"),
        ("LOG_LEVEL", "LOUD"),
        ("TASK_DEADLINE_SECONDS", "3600"),
        ("REPLICATE_MODEL_VERSION", "the latest"),
        ("MINIO_BUCKET", "No Bucket"),
        ("EVENT_STORE_URL", "mysql://host/db"),
        ("RABBITMQ_URL", "http://host"),
        ("TEMPLATE_BASE_URL", "ftp://host"),
        ("MINIO_ENDPOINT", "host:9000"),
        ("REPLICATE_WEBHOOK_SECRET", "hunter2"),
        ("REPLICATE_WEBHOOK_SECRET", "whsec_"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch, name, value):
    """The message says which setting it is, so that nobody has to guess."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name):
        load()


def test_a_wrong_secret_is_named_but_not_shown(monkeypatch):
    """What may hold a password never gets into a message."""
    monkeypatch.setenv("RABBITMQ_URL", "http://user:hunter2@host")
    with pytest.raises(ConfigError) as raised:
        load()
    assert "hunter2" not in str(raised.value)


def test_the_command_line_wins_over_the_environment(monkeypatch):
    """--port 4000 is stronger than PORT=5000."""
    monkeypatch.setenv("PORT", "5000")
    assert load(port=4000, host=None).port == 4000


def test_a_task_ends_before_its_broker_takes_the_message_back(monkeypatch):
    """RabbitMQ closes the channel of a consumer that holds a message for 30 minutes (default)."""
    ack_timeout = 30 * 60
    monkeypatch.setenv("TASK_DEADLINE_SECONDS", "1700")
    settings = load()
    last_calls = 2 * (settings.replicate_timeout_ms / 1000 + settings.shutdown_seconds)
    assert settings.task_deadline_seconds + last_calls < ack_timeout
    monkeypatch.setenv("TASK_DEADLINE_SECONDS", "1701")
    with pytest.raises(ConfigError, match="TASK_DEADLINE_SECONDS"):
        load()


SANDBOX = "http://127.0.0.1:3003"


@pytest.mark.parametrize(
    ("public_url", "replicate", "expected"),
    [
        ("https://tts.example.com", "", "https://tts.example.com/webhooks/replicate"),
        ("https://tts.example.com/", "", "https://tts.example.com/webhooks/replicate"),
        ("", "", ""),
        ("http://tts.example.com", "", ""),
        ("https://localhost", "", ""),
        ("https://192.168.0.7", "", ""),
        ("https://tts.internal", "", ""),
        ("http://127.0.0.1:3002", SANDBOX, "http://127.0.0.1:3002/webhooks/replicate"),
        ("", SANDBOX, ""),
    ],
)
def test_webhooks_go_where_replicate_can_send_them(monkeypatch, public_url, replicate, expected):
    """Replicate itself needs https and a public host; a sandbox on this machine reaches any."""
    monkeypatch.setenv("PUBLIC_URL", public_url)
    monkeypatch.setenv("REPLICATE_BASE_URL", replicate)
    assert load().webhook_url == expected
