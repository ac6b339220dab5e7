"""Whatever stands in the environment or in .env, the start ends in a sentence or succeeds."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from gateway.access.admission import Admission
from projections.database import open_database
from tts.bootstrap import Composition, retry_policy
from tts.config import ConfigError, Settings, load, strange_names
from tts.parts.event_store import store_at
from tts.parts.trust import trust_of

FIELDS = {name.upper(): field for name, field in sorted(Settings.model_fields.items())}
NAMES = list(FIELDS)
WORDS = [
    *(
        "",
        " ",
        "\n",
        "\0",
        "\x1b[31mred",
        "\u202eevil",
        "\ud800",
        "“r8_token”",
        "r8_to\nken",
        "'x'",
    ),
    *("9" * 5000, "-1", "0", "900000", "1e400", "nan", "inf", "0x10", "٣", "1_0", "½", "true"),
]
ADDRESSES = [
    *(
        "http://",
        "https://",
        "://",
        "http://h:900000",
        "http://[::1",
        "http://[v1.x]",
        "http://h:x",
    ),
    *("https://h/p?q#f", "https://u:p@h", "https://h/%zz", "https://h\\@x", "http:///p", "//h"),
    *("amqp://", "amqp://u:p@@h", "amqp://h/%00", "amqp://h:1,g:2", "amqp://h?heartbeat=x"),
    *("sqlite:", "sqlite:///", "sqlite:////", "sqlite://x", "sqlite:///a/", "sqlite:///:memory:"),
    *("postgresql://", "postgresql://u:p@x@h/d", "postgresql://h:x", "postgresql://h/%zz"),
    *("postgresql://h:1,[::1]:2/d", "postgresql:///d?host=/run", "postgresql://u:p/q@h"),
    *("host:9000", "host:9000/path", "h:900000", "[::1]:9000", "::1", "fe80::1%eth0", "1.2.3.4.5"),
    *("x.amazonaws.com", "tts..audio", "10.0.0.1", "a.-b", "UPPER", "a" * 70, "*", "null", "a,b,,"),
    *("/dev/null/x", "~", "..", "whsec_", "whsec_!!", "whsec_c2VjcmV0", "../../etc", "C:\\data"),
]
NASTY = [*WORDS, *ADDRESSES]
PIECES = st.sampled_from(
    [*NASTY, "postgresql://", "https://", "@", ":", "/", "%", "u", "h", "1", "."]
)
VALUES = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=40),
    st.lists(PIECES, max_size=6).map("".join),
    st.integers().map(str),
    st.floats().map(str),
)


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Nothing but these settings; a mapping takes what no real environment could."""
    with mock.patch("os.environ", dict(values)):
        yield


def use(settings: Settings) -> None:
    """Whatever is made of the settings before the first connection."""
    for name, attribute in vars(Settings).items():
        if isinstance(attribute, property):
            getattr(settings, name)
    with contextlib.suppress(ConfigError):  # no keys, and reachable from elsewhere
        Admission(settings)
    with contextlib.suppress(ConfigError):
        store_at(settings.store_url)
    if settings.store_url.startswith("sqlite:"):
        open_database(settings.store_url)
    with contextlib.suppress(ConfigError):
        trust_of(settings)
    settings = settings.model_copy(update={"tls_ca_file": None})  # a part of it would say the same
    parts = Composition(settings, contextlib.AsyncExitStack(), {}, alone=True)
    if settings.rabbitmq_url.get_secret_value():
        assert parts.queue
    if settings.minio_endpoint:
        with contextlib.suppress(ConfigError):
            assert parts.audio.url("key")
    assert parts.webhook_secret
    for attempt in range(1, settings.retry_max_attempts + 1):
        retry_policy(settings).delay(attempt, lambda: 0.5)


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch, tmp_path):
    """No .env is there."""
    monkeypatch.chdir(tmp_path)


BUCKET = {"MINIO_ENDPOINT": "h:9000", "MINIO_ACCESS_KEY": "k", "MINIO_SECRET_KEY": "s"}


def check(name: str, values: Mapping[str, str]) -> None:
    """Read and use the settings; one that is refused is named, on lines that show all they have."""
    with environment(values):
        try:
            settings = load()
        except ConfigError as error:
            refusal = str(error)
        else:
            use(settings)
            return
    assert name in refusal
    assert all(line.isprintable() for line in refusal.split("\n"))


@pytest.mark.parametrize(
    ("name", "others"),
    [
        *((name, {}) for name in NAMES),
        *((name, BUCKET) for name in NAMES if name.startswith("MINIO_")),
        ("MINIO_PUBLIC_ENDPOINT", {**BUCKET, "MINIO_PRESIGN_SECONDS": "60"}),
    ],
)
def test_no_nasty_value_of_any_setting_ends_in_a_traceback(name, others):
    """It is taken, and all that follows from it can be made, or it is refused by name."""
    # To what is read as a number, or names a file, one address is like the other.
    is_plain = FIELDS[name].annotation in {bool, int, float} or name == "TLS_CA_FILE"
    for value in WORDS if is_plain else NASTY:
        check(name, {**others, name: value})


@pytest.mark.parametrize("name", NAMES)
@budget(max_examples=5, deadline=None)
@given(value=VALUES)
def test_no_value_of_any_setting_ends_in_a_traceback(name, value):
    """The same for what nobody thought of."""
    check(name, {name: value})


@budget(max_examples=100, deadline=None)
@given(name=st.sampled_from(NAMES), value=VALUES, quote=st.sampled_from(["", "'", '"']))
def test_no_line_of_env_ends_in_a_traceback(name, value, quote):
    """What an editor saved into .env is taken or refused, too."""
    Path(".env").write_bytes(f"{name}={quote}{value}{quote}\n".encode(errors="surrogatepass"))
    with contextlib.suppress(ConfigError), environment({}):
        use(load())
        strange_names()
