"""Every setting of the service. Only this module reads the environment."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tts.http.signing_key import signing_key

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]


def _signs(secret: SecretStr) -> SecretStr:
    if text := secret.get_secret_value():
        signing_key(text)
    return secret


def _names_hosts(text: str) -> str:
    for host in _listed(text):
        if not _HOST.fullmatch(host):
            raise ValueError(f"list hosts such as replicate.delivery; {host!r} is none")
    return text


Hosts = Annotated[str, AfterValidator(_names_hosts)]
SigningSecret = Annotated[SecretStr, AfterValidator(_signs)]

REPLICATE_HOST = "api.replicate.com"
OUTPUT_HOSTS = frozenset({"replicate.delivery"})  # where Replicate itself puts outputs
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
REPLICATE_CREATES_PER_MINUTE = 600  # what Replicate allows an account in good standing
REPLICATE_MAX_IN_FLIGHT = 100  # at that rate, when a prediction takes 10 s


class ConfigError(Exception):
    """A setting is wrong; the message names it, its value and what is allowed."""


class Settings(BaseSettings):
    """The settings, frozen. Names are the environment's, in lower case; see ``.env.example``."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    # gateway
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 3002
    public_url: str = ""  # where clients reach it, if that is not HOST and PORT
    text_max_chars: Positive = 10_000
    instruction_max_chars: Positive = 500
    request_max_bytes: Positive = 1_000_000
    request_timeout_seconds: Positive = 10
    wait_max_seconds: Positive = 60
    sse_heartbeat_interval_ms: Positive = 15_000
    sse_client_timeout_ms: Positive = 30_000
    sse_replay_limit: Positive = 10_000

    # who may use the gateway, and how much
    tts_api_keys_file: Path | None = None
    tts_allow_anonymous: bool = False
    stream_token_seconds: Positive = 300
    rate_limit_per_key: NotNegative = 500
    rate_limit_per_address: NotNegative = 0
    streams_per_key: Positive = 20_000
    streams_per_address: Positive = 20_000
    queue_max_tasks: NotNegative = 100_000
    redrive_per_second: Positive = 50
    proxies_count: NotNegative = 0
    cors_origins: str = ""

    # where things are
    data_dir: Path = Path("data")
    event_store_url: str = ""
    rabbitmq_url: SecretStr = SecretStr("")

    # audio
    minio_endpoint: str = ""
    minio_access_key: str = ""
    minio_secret_key: SecretStr = SecretStr("")
    minio_bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] = "tts-audio"
    minio_region: str = "us-east-1"
    minio_secure: bool = False
    minio_public_endpoint: str = ""
    minio_presign_seconds: Annotated[int, Field(ge=0, le=604_800)] = 0
    audio_max_bytes: Positive = 50_000_000

    # Replicate and the templates
    replicate_api_token: SecretStr = SecretStr("")
    replicate_base_url: str = "https://api.replicate.com"
    replicate_output_hosts: Hosts = ""
    replicate_model_version: Annotated[str, Field(pattern=r"^\S+$")] = (
        "669b1cd618f2747d2237350e868f5c313f3b548fc803ca4e57adfaba778b042d"
    )
    segment_max_chars: Positive = 80
    speech_cleanup: bool = True
    replicate_poll_interval_ms: Positive = 500
    replicate_timeout_ms: Positive = 15_000
    replicate_webhook_secret: SigningSecret = SecretStr("")
    replicate_safety_poll_ms: Positive = 10_000
    replicate_creates_per_minute: NotNegative | None = None
    replicate_max_in_flight: NotNegative | None = None
    template_base_url: str = "https://cradleintro.top"
    template_cache_seconds: NotNegative = 60
    sandbox_port: Annotated[int, Field(ge=0, le=65535)] = 3003

    # the relay
    dispatch_window: Positive = 8
    watchdog_seconds: Positive = 60

    # the processor
    tts_concurrency: Positive = 16
    segment_concurrency: Positive = 4
    task_deadline_seconds: Annotated[int, Field(ge=5, le=1700)] = 1500
    retry_max_attempts: Positive = 5
    retry_initial_interval_ms: Positive = 5_000
    retry_multiplier: Annotated[float, Field(ge=1)] = 2.0
    retry_max_interval_ms: Positive = 300_000
    retry_jitter: Literal["none", "proportional", "full"] = "proportional"

    # operation
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "json", "console"] = "auto"
    shutdown_seconds: Positive = 10
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0

    @model_validator(mode="after")
    def _urls(self) -> Self:
        for name in ("replicate_base_url", "template_base_url"):
            parts = urlsplit(getattr(self, name))
            if parts.username or parts.password:
                raise ValueError(f"{name.upper()} must be a URL without user and password")
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError(
                    f"{name.upper()} must be an http(s) URL, not {getattr(self, name)!r}"
                )
        scheme = urlsplit(self.event_store_url).scheme
        if self.event_store_url and scheme not in {"sqlite", "postgresql", "postgres"}:
            raise ValueError(
                "EVENT_STORE_URL must start with sqlite:/// or postgresql://, "
                f"its scheme is {scheme!r}"
            )
        rabbitmq = urlsplit(self.rabbitmq_url.get_secret_value()).scheme
        if rabbitmq not in {"", "amqp", "amqps"}:
            raise ValueError(f"RABBITMQ_URL must start with amqp:// or amqps://, not {rabbitmq!r}")
        if self.minio_endpoint and not (
            self.minio_access_key and self.minio_secret_key.get_secret_value()
        ):
            raise ValueError("MINIO_ENDPOINT needs MINIO_ACCESS_KEY and MINIO_SECRET_KEY as well")
        for origin in self.allowed_origins - {"*"}:
            parts = urlsplit(origin)
            if f"{parts.scheme}://{parts.netloc}" != origin or not parts.netloc:
                raise ValueError(
                    "CORS_ORIGINS must list origins such as https://app.example.com, or be *; "
                    f"{origin!r} is none"
                )
        if "/" in self.minio_endpoint:
            raise ValueError(f"MINIO_ENDPOINT must be host:port, not {self.minio_endpoint!r}")
        return self

    @property
    def gateway_url(self) -> str:
        """Where clients reach the gateway."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def allowed_origins(self) -> frozenset[str]:
        """The origins whose pages may read answers; ``*`` among them for all."""
        return _listed(self.cors_origins)

    @property
    def output_hosts(self) -> frozenset[str]:
        """Where outputs are fetched from, with what is below; empty for any public address."""
        if given := _listed(self.replicate_output_hosts.lower()):
            return given
        return OUTPUT_HOSTS if self.replicate_is_real else frozenset()

    @property
    def replicate_is_real(self) -> bool:
        """Whether predictions go to Replicate itself."""
        return urlsplit(self.replicate_base_url).hostname == REPLICATE_HOST

    @property
    def replicate_is_local(self) -> bool:
        """Whether predictions go to something on this machine that needs no token."""
        return urlsplit(self.replicate_base_url).hostname in {"127.0.0.1", "localhost", "::1"}

    @property
    def creates_per_minute(self) -> int:
        """``REPLICATE_CREATES_PER_MINUTE``, or Replicate's own limit; 0 is no limit."""
        if self.replicate_creates_per_minute is None:
            return 0 if self.replicate_is_local else REPLICATE_CREATES_PER_MINUTE
        return self.replicate_creates_per_minute

    @property
    def max_in_flight(self) -> int:
        """``REPLICATE_MAX_IN_FLIGHT``, or enough for the rate at 10 s each; 0 is no limit."""
        if self.replicate_max_in_flight is None:
            return 0 if self.replicate_is_local else REPLICATE_MAX_IN_FLIGHT
        return self.replicate_max_in_flight

    @property
    def sandboxed(self) -> bool:
        """Whether nothing says whom to ask for predictions, so that `tts up` brings a sandbox."""
        token = self.replicate_api_token.get_secret_value()
        return not token and "replicate_base_url" not in self.model_fields_set

    @property
    def webhook_url(self) -> str:
        """Where Replicate is to send webhooks; empty if it cannot reach us, or takes no such URL.

        A sandbox on this machine reaches every PUBLIC_URL. Replicate itself wants https, and can
        reach neither localhost nor a private address.
        """
        parts = urlsplit(self.public_url)
        if not (self.replicate_is_local and parts.scheme in {"http", "https"}) and not (
            parts.scheme == "https" and _is_public(parts.hostname or "")
        ):
            return ""
        return f"{self.public_url.rstrip('/')}/webhooks/replicate"

    @property
    def store_url(self) -> str:
        """``EVENT_STORE_URL``, or the embedded SQLite file in the data folder."""
        return self.event_store_url or f"sqlite:///{(self.data_dir / 'tts.db').absolute()}"


def _listed(text: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, text.split(","))))


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".localhost", ".local", ".internal"))


def load(**overrides: Any) -> Settings:
    """Read the environment and ``.env``; ``overrides`` (from the command line) win.

    Raises:
        ConfigError: one line for each wrong setting.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = []
        for item in error.errors(include_url=False, include_input=False, include_context=False):
            name = "_".join(str(part) for part in item["loc"]).upper()
            secret = any(word in name for word in ("TOKEN", "SECRET", "URL"))
            value = "" if secret or not name else f" (is {os.environ.get(name, '')!r})"
            lines.append(f"{name + ': ' if name else ''}{item['msg']}{value}")
        raise ConfigError("\n".join(lines)) from error
