"""Settings: documented, checked, and named when they are wrong."""

import re
from pathlib import Path

import pytest

from tts.config import ConfigError, Settings, load, strange_names

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
    assert not load().chosen
    assert load().sandboxed, "a copy of the example speaks like a start without it"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("TTS_CONCURRENCY", "0"),
        ("RETRY_MULTIPLIER", "0.5"),
        ("RETRY_JITTER", "some"),
        ("AUDIO_FORMAT", "flac"),
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
        ("REPLICATE_API_TOKEN", "r8_to\nken"),
        ("REPLICATE_API_TOKEN", "“r8_token”"),
        ("REPLICATE_API_TOKEN", "'r8_token'"),
        ("REPLICATE_API_TOKEN", "r8 token"),
        ("MINIO_SECRET_KEY", "secret\r"),
        ("MINIO_SECRET_KEY", "“secret”"),
        ("MINIO_ENDPOINT", "host:9000/path"),
        ("MINIO_ENDPOINT", "https://host:9000"),
        ("MINIO_ENDPOINT", "host:900000"),
        ("MINIO_PUBLIC_ENDPOINT", "ftp://host"),
        ("MINIO_REGION", "us east"),
        ("MINIO_BUCKET", "tts..audio"),
        ("MINIO_BUCKET", "10.0.0.1"),
        ("MINIO_BUCKET", "TTS-audio"),
        ("PUBLIC_URL", "tts.example.com"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https://user:pass@tts.example.com"),
        ("PUBLIC_URL", "https://tts.example.com?a=b"),
        ("PUBLIC_URL", "https://tts.example.com/#top"),
        ("REPLICATE_BASE_URL", "https://host:900000"),
        ("TEMPLATE_BASE_URL", "https://host/100%"),
        ("EVENT_STORE_URL", "postgresql://user:p@ss@host/db"),
        ("EVENT_STORE_URL", "postgresql://user:100%@host/db"),
        ("EVENT_STORE_URL", "sqlite:tts.db"),
        ("RABBITMQ_URL", "amqp://user:p@ss@host"),
        ("RABBITMQ_URL", "amqp://user:pass@host:900000"),
        ("RABBITMQ_URL", "amqp://user:pass@host:5672,"),
        ("RABBITMQ_URL", "amqp://user:pass@,host"),
        ("RABBITMQ_URL", "amqp://user:pass@host,other:port/"),
        ("RABBITMQ_URL", "amqp://user:pass@host,user:pass@other/"),
        ("RABBITMQ_URL", "amqp://user:pa/ss@host/"),
        ("RABBITMQ_URL", "amqp://user:pass@host/?heartbeat=often"),
        ("HOST", "http://127.0.0.1"),
        ("HOST", "127.0.0.1:3002"),
        ("HOST", "300.1.1.1"),
        ("ALLOWED_HOSTS", "https://tts.example.com"),
        ("ALLOWED_HOSTS", "tts.example.com/api"),
        ("CORS_ORIGINS", "https://app.example.com/page"),
        ("SSE_HEARTBEAT_INTERVAL_MS", "9" * 30),
        ("RETRY_MULTIPLIER", "inf"),
        ("DATA_DIR", "da\nta"),
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


@pytest.mark.parametrize("name", ["REPLICATE_API_TOKEN", "MINIO_SECRET_KEY", "MINIO_ACCESS_KEY"])
def test_a_wrong_character_is_named_and_its_secret_is_not(monkeypatch, name):
    """Nobody sees a typographic quote in a token by looking at it."""
    monkeypatch.setenv(name, "hunter2”")
    with pytest.raises(ConfigError, match="RIGHT DOUBLE QUOTATION MARK at place 8") as raised:
        load()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("wrong", ["700000", "80 80", "\x1b[31m80"])
def test_a_wrong_value_is_shown_wherever_it_stands(monkeypatch, wrong):
    """That of .env as well as that of the environment, on one harmless line."""
    Path(".env").write_text(f"PORT={wrong}\n")
    with pytest.raises(ConfigError, match=f"PORT: must be .* \\(is {re.escape(repr(wrong))}\\)"):
        load()
    Path(".env").unlink()
    monkeypatch.setenv("PORT", wrong)
    with pytest.raises(ConfigError, match=re.escape(repr(wrong))):
        load()


def test_a_password_in_a_url_is_not_shown(monkeypatch):
    """Nor one in a URL that is not meant to have any."""
    monkeypatch.setenv("PUBLIC_URL", "https://user:hunter2@tts.example.com")
    with pytest.raises(ConfigError, match="without user and password") as raised:
        load()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("name", ["MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "MINIO_PUBLIC_ENDPOINT"])
def test_half_a_bucket_is_none(monkeypatch, name):
    """Audio would go into a folder, and nobody would have said so."""
    monkeypatch.setenv(name, "something")
    with pytest.raises(ConfigError, match="MINIO_ENDPOINT is not set"):
        load()


def test_a_name_that_is_nearly_ours_is_asked_about():
    """A typo in .env is no silence; what may be another program's is named, no more."""
    Path(".env").write_text("REPLICATE_API_TOKN=x\nMINIO_ENDPIONT=y\nHOME_DIR=z\nport=3002\n")
    first, second, others = strange_names()
    assert "'REPLICATE_API_TOKN' is no setting; is REPLICATE_API_TOKEN meant?" in first
    assert "MINIO_ENDPOINT" in second
    assert others == ".env: not for this service: 'HOME_DIR'"


def test_options_of_a_database_may_have_blanks():
    """As people write them in a command; nothing else in a URL may."""
    url = "postgresql://host/db?options=-c search_path=voice"
    assert load(event_store_url=url).store_url == url
    with pytest.raises(ConfigError, match=r"EVENT_STORE_URL: .* a blank at place 20"):
        load(event_store_url="postgresql://host/d b")


@pytest.mark.parametrize("url", ["", "sqlite:///tts.db"])
def test_a_direct_url_goes_with_a_pooler(url):
    """Where there is no PostgreSQL, there is nothing to go past."""
    direct = "postgresql://user:hunter2@host/db"
    with pytest.raises(ConfigError, match=r"^EVENT_STORE_DIRECT_URL: ") as raised:
        load(event_store_url=url, event_store_direct_url=direct)
    assert "hunter2" not in str(raised.value)
    assert load(event_store_url=direct, event_store_direct_url=direct).direct_url == direct


def test_hosts_are_listed(monkeypatch):
    """With or without a port, in any case; nothing else is a host."""
    monkeypatch.setenv("ALLOWED_HOSTS", "TTS.example.com, 10.0.0.7:3002,[::1]:80,")
    assert load().allowed_hosts == {"tts.example.com", "10.0.0.7:3002", "[::1]:80"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "http://127.0.0.1:3002"),
        ({"host": "::"}, "http://[::1]:3002"),
        ({"host": "0.0.0.0"}, "http://127.0.0.1:3002"),  # noqa: S104 -- nothing listens
        ({"public_url": "https://tts.example.com/speech/"}, "https://tts.example.com/speech"),
    ],
)
def test_clients_are_told_an_address_that_they_can_use(settings, expected):
    """An IPv6 address in brackets, a host to connect to, one slash where paths are joined."""
    assert load(**settings).gateway_url == expected


BUCKET = {"minio_access_key": "k", "minio_secret_key": "s"}


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({}, ""),
        ({"host": "::1"}, ""),
        ({"host": "0.0.0.0"}, "PUBLIC_URL"),  # noqa: S104 -- nothing listens
        ({"host": "::"}, "PUBLIC_URL"),
        ({"host": "192.168.0.7"}, ""),
        ({"host": "::", "public_url": "https://tts.example.com"}, ""),
        ({"host": "::", "public_url": "http://localhost:3002"}, "PUBLIC_URL"),
        ({"proxies_count": 1}, "PUBLIC_URL"),
        ({"host": "::", "minio_endpoint": "minio:9000", **BUCKET}, ""),
        ({"host": "::", "minio_endpoint": "[::1]:9000", **BUCKET}, "MINIO_PUBLIC_ENDPOINT"),
        ({"host": "127.0.0.1", "minio_endpoint": "127.0.0.1:9000", **BUCKET}, ""),
    ],
)
def test_audio_that_others_would_look_for_on_their_own_machine_is_warned_of(settings, setting):
    """Where others than this machine come in, loopback is not the place that they can reach."""
    assert load(**settings).misleading_audio.partition(":")[0] == setting


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({}, ""),
        ({"host": "localhost", "public_url": "http://127.0.0.1:3002"}, ""),
        ({"host": "::1", "cors_origins": "https://app.example.com"}, ""),
        ({"host": "192.168.0.7"}, "HOST"),
        ({"public_url": "http://192.168.0.7:3002"}, "PUBLIC_URL"),
        ({"proxies_count": 1}, "PROXIES_COUNT"),
        ({"cors_origins": "https://app.example.com, *"}, "CORS_ORIGINS"),
    ],
)
def test_what_others_can_reach_is_known(settings, setting):
    """By the address itself, by a proxy in front, or by the pages of every site."""
    assert load(**settings).exposure.partition(":")[0] == setting


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
