"""All settings with their defaults, and what follows from them."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tts.config.addresses import WEB, file_of, listed
from tts.config.kinds import (
    AllowedHosts,
    BrokerUrl,
    Bucket,
    CallbackHosts,
    DirectUrl,
    Endpoint,
    Folder,
    Host,
    HostNames,
    KeyName,
    Milliseconds,
    NotNegative,
    OptionalWebUrl,
    Origins,
    Password,
    Port,
    Positive,
    PublicEndpoint,
    Region,
    Seconds,
    SigningSecret,
    StoreUrl,
    Token,
    Version,
    WebUrl,
)
from tts.config.text import quotation
from tts.domain.values import AudioFormat
from tts.http.reach import INNER_SUFFIXES, is_loopback

REPLICATE_HOST = "api.replicate.com"
OUTPUT_HOSTS = frozenset({"replicate.delivery"})  # where Replicate itself puts outputs
REPLICATE_CREATES_PER_MINUTE = 600  # what Replicate allows an account in good standing
PRESIGN_SECONDS = 3600  # also how long audio can be heard with a key that was revoked
REPLICATE_MAX_IN_FLIGHT = 100  # at that rate, when a prediction takes 10 s
ENV_FILE = ".env"
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- what to listen on, where to call


class Settings(BaseSettings):
    """The settings, frozen. Names are the environment's, in lower case; see ``.env.example``."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
    )

    # gateway
    host: Host = "127.0.0.1"
    port: Port = 3002
    public_url: OptionalWebUrl = ""  # where clients reach it, if that is not HOST and PORT
    text_max_chars: Positive = 10_000
    instruction_max_chars: Positive = 500
    request_max_bytes: Positive = 1_000_000
    request_timeout_seconds: Seconds = 10
    wait_max_seconds: Seconds = 60
    sse_heartbeat_interval_ms: Milliseconds = 15_000
    sse_client_timeout_ms: Milliseconds = 30_000
    sse_replay_limit: Positive = 10_000

    # who may use the gateway, and how much
    tts_api_keys_file: Folder | None = None
    tts_allow_anonymous: bool = False
    stream_token_seconds: Seconds = 300
    rate_limit_per_key: NotNegative = 500
    rate_limit_per_address: NotNegative = 0
    streams_per_key: Positive = 20_000
    streams_per_address: Positive = 20_000
    connections_per_address: Positive = 5_000  # that are no streams
    queue_max_tasks: NotNegative = 100_000
    owner_max_tasks: NotNegative = 0
    owner_characters_per_day: NotNegative = 0
    callback_hosts: CallbackHosts = frozenset()
    redrive_per_second: Positive = 50
    proxies_count: NotNegative = 0
    cors_origins: Origins = ""
    allowed_hosts: AllowedHosts = frozenset()

    # where things are
    data_dir: Folder = Path("data")
    event_store_url: StoreUrl = SecretStr("")
    event_store_direct_url: DirectUrl = SecretStr("")
    rabbitmq_url: BrokerUrl = SecretStr("")

    # who vouches for the servers behind https, besides the machine's own authorities
    tls_ca_file: Folder | None = None

    # audio
    minio_endpoint: Endpoint = ""
    minio_access_key: KeyName = ""
    minio_secret_key: Password = SecretStr("")
    minio_bucket: Bucket = "tts-audio"
    minio_region: Region = "us-east-1"
    minio_secure: bool = False
    minio_public_endpoint: PublicEndpoint = ""
    minio_presign_seconds: Annotated[int, Field(ge=0, le=604_800)] | None = None
    audio_max_bytes: Positive = 50_000_000
    audio_format: AudioFormat = AudioFormat.WAV
    audio_keep_days: Annotated[int, Field(ge=0, le=36_500)] = 0

    # Replicate and the templates
    replicate_api_token: Token = SecretStr("")
    replicate_base_url: WebUrl = "https://api.replicate.com"
    replicate_output_hosts: HostNames = ""
    replicate_model_version: Version = (
        "669b1cd618f2747d2237350e868f5c313f3b548fc803ca4e57adfaba778b042d"
    )
    segment_max_chars: Positive = 80
    speech_cleanup: bool = True
    replicate_poll_interval_ms: Milliseconds = 500
    replicate_timeout_ms: Milliseconds = 10_000
    replicate_webhook_secret: SigningSecret = SecretStr("")
    replicate_safety_poll_ms: Milliseconds = 10_000
    replicate_creates_per_minute: NotNegative | None = None
    replicate_max_in_flight: NotNegative | None = None
    replicate_price_per_second: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0.0
    template_base_url: WebUrl = "https://cradleintro.top"
    template_cache_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = 60
    sandbox_port: Port = 3003

    # the relay
    dispatch_window: Positive = 8
    watchdog_seconds: Seconds = 60

    # the processor
    tts_concurrency: Annotated[int, Field(gt=0, le=10_000)] = 16
    segment_concurrency: Annotated[int, Field(gt=0, le=10_000)] = 4
    task_deadline_seconds: Annotated[int, Field(ge=5, le=1700)] = 1500
    retry_max_attempts: Annotated[int, Field(gt=0, le=100)] = 5
    retry_initial_interval_ms: Milliseconds = 5_000
    retry_multiplier: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] = 2.0
    retry_max_interval_ms: Milliseconds = 300_000
    retry_jitter: Literal["none", "proportional", "full"] = "proportional"

    # operation
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "json", "console"] = "auto"
    shutdown_seconds: Seconds = 10
    metrics_port: Port = 0
    otel_exporter_otlp_endpoint: OptionalWebUrl = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        keys = bool(self.minio_access_key), bool(self.minio_secret_key.get_secret_value())
        if self.minio_endpoint and not all(keys):
            raise ValueError("MINIO_ENDPOINT needs MINIO_ACCESS_KEY and MINIO_SECRET_KEY as well")
        if not self.minio_endpoint and (any(keys) or self.minio_public_endpoint):
            raise ValueError(
                "MINIO_ENDPOINT is not set, but other settings of the bucket are: set it, or take "
                "MINIO_ACCESS_KEY, MINIO_SECRET_KEY and MINIO_PUBLIC_ENDPOINT away"
            )
        if self.direct_url and file_of(self.store_url):
            raise ValueError(
                "EVENT_STORE_DIRECT_URL: goes with an EVENT_STORE_URL that leads to PostgreSQL "
                "through a pooler; take it away"
            )
        _, _, public = self.minio_public_endpoint.rpartition("://")
        if self.presign_seconds and "/" in public:
            raise ValueError(
                "MINIO_PUBLIC_ENDPOINT must have no path where URLs are signed (as with "
                "TTS_API_KEYS_FILE, unless MINIO_PRESIGN_SECONDS=0 makes all audio public): it is "
                f"{quotation(self.minio_public_endpoint)}"
            )
        return self

    @property
    def presign_seconds(self) -> int:
        """``MINIO_PRESIGN_SECONDS``, or an hour where there are keys; 0 is plain, public URLs."""
        if self.minio_presign_seconds is None:
            return PRESIGN_SECONDS if self.tts_api_keys_file else 0
        return self.minio_presign_seconds

    @property
    def gateway_url(self) -> str:
        """Where clients reach the gateway."""
        host = EVERYWHERE.get(self.host, self.host)
        host = f"[{host}]" if ":" in host else host
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def misleading_audio(self) -> str:
        """Why others than this machine get URLs of audio that lead them to their own; or empty."""
        if is_loopback(self.host) and not self.exposure:
            return ""
        name, url = "PUBLIC_URL", self.gateway_url
        if self.minio_endpoint:
            name, url = "MINIO_PUBLIC_ENDPOINT", self.minio_public_endpoint or self.minio_endpoint
        if not is_loopback(urlsplit(url if "://" in url else f"//{url}").hostname or ""):
            return ""
        return (
            f"{name}: clients elsewhere are sent to {quotation(url)} for audio, which is their own "
            f"machine: set {name} to where they reach this one"
        )

    @property
    def exposure(self) -> str:
        """Which setting lets others than this machine reach the gateway; empty if none does."""
        if not is_loopback(self.host):
            return f"HOST: {quotation(self.host)} can be reached from elsewhere"
        if self.public_url and not is_loopback(urlsplit(self.public_url).hostname or ""):
            return f"PUBLIC_URL: {quotation(self.public_url)} can be reached from elsewhere"
        if self.proxies_count:
            return f"PROXIES_COUNT: with {self.proxies_count} proxies in front, others come in"
        if "*" in self.allowed_origins:
            return "CORS_ORIGINS: with *, the pages of every site come in"
        return ""

    @property
    def allowed_origins(self) -> frozenset[str]:
        """The origins whose pages may read answers; ``*`` among them for all."""
        return listed(self.cors_origins.lower())

    @property
    def output_hosts(self) -> frozenset[str]:
        """Where outputs are fetched from, with what is below; empty for any public address."""
        if given := listed(self.replicate_output_hosts.lower()):
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
    def chosen(self) -> frozenset[str]:
        """The settings that differ from their defaults; a copy of ``.env.example`` sets all."""
        fields = type(self).model_fields
        return frozenset(
            name for name in self.model_fields_set if getattr(self, name) != fields[name].default
        )

    @property
    def sandboxed(self) -> bool:
        """Whether nothing says whom to ask for predictions, so that `tts up` brings a sandbox."""
        token = self.replicate_api_token.get_secret_value()
        return not token and "replicate_base_url" not in self.chosen

    @property
    def webhook_url(self) -> str:
        """Where Replicate is to send webhooks; empty if it cannot reach us, or takes no such URL.

        A sandbox on this machine reaches every PUBLIC_URL. Replicate itself wants https, and can
        reach neither localhost nor a private address.
        """
        parts = urlsplit(self.public_url)
        if not (self.replicate_is_local and parts.scheme in WEB) and not (
            parts.scheme == "https" and _is_public(parts.hostname or "")
        ):
            return ""
        return f"{self.public_url}/webhooks/replicate"

    @property
    def direct_url(self) -> str:
        """``EVENT_STORE_DIRECT_URL``; empty where no pooler stands before the database."""
        return self.event_store_direct_url.get_secret_value()

    @property
    def store_url(self) -> str:
        """``EVENT_STORE_URL``, or the embedded SQLite file in the data folder."""
        url = self.event_store_url.get_secret_value()
        return url or f"sqlite:///{(self.data_dir / 'tts.db').absolute()}"


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.lower().rstrip(".").endswith(INNER_SUFFIXES)
