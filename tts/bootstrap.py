"""Turns settings into the parts of this package; which implementation is decided here alone."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

from tts.application.tasks import Application
from tts.audio.folder import FolderAudio
from tts.audio.minio import MinioAudio
from tts.config import ConfigError, Settings
from tts.domain.failures import StepError
from tts.domain.retry import RetryPolicy
from tts.gate.gate import Gate
from tts.gate.state import Limits
from tts.observability.metrics import GateMetrics, observe_relay, observe_step
from tts.patience import Outage
from tts.ports.coordination import SharedDocument, Signals
from tts.processor.prediction_owners import PredictionOwners
from tts.processor.processor import Processor
from tts.processor.resources import Resources
from tts.queue.memory import MemoryQueue
from tts.queue.rabbitmq import RabbitMQ
from tts.relay.relay import Relay
from tts.replicate.predictions import ReplicatePredictions
from tts.replicate.webhook_secret import AccountSecret, GivenSecret
from tts.sound.inspect import inspect
from tts.store.documents import PostgresDocuments
from tts.store.memory import LocalSignals, MemoryDocuments
from tts.store.postgres import PostgresStore
from tts.store.signals import PostgresSignals
from tts.store.sqlite import SQLiteStore
from tts.templates import HttpTemplates

logger = logging.getLogger(__name__)

START_PATIENCE_SECONDS = 60.0  # a supervisor may start us before the database, or while it restarts

Store = SQLiteStore | PostgresStore
Queue = MemoryQueue | RabbitMQ
Audio = FolderAudio | MinioAudio


@contextlib.asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """The event store, open while the context is."""
    url = settings.store_url
    store: Store
    if url.startswith("sqlite:"):
        store = SQLiteStore(Path(url.removeprefix("sqlite:///")))
    else:
        store = PostgresStore(url)
    try:
        outage = Outage("Waiting for the event store")
        await outage.wait_out(store.open, at_most=START_PATIENCE_SECONDS)
        yield store
    finally:
        await store.aclose()


@contextlib.asynccontextmanager
async def open_queue(settings: Settings) -> AsyncIterator[Queue]:
    """The queue, open while the context is."""
    url = settings.rabbitmq_url.get_secret_value()
    queue: Queue = RabbitMQ(url) if url else MemoryQueue()
    try:
        yield queue
    finally:
        await queue.aclose()


@contextlib.asynccontextmanager
async def open_audio(settings: Settings) -> AsyncIterator[Audio]:
    """Where audio lies, open while the context is."""
    audio: Audio
    if settings.minio_endpoint:
        audio = MinioAudio(
            settings.minio_endpoint,
            access_key=settings.minio_access_key,
            secret_key=settings.minio_secret_key.get_secret_value(),
            bucket=settings.minio_bucket,
            region=settings.minio_region,
            secure=settings.minio_secure,
            public_endpoint=settings.minio_public_endpoint,
            presign_seconds=settings.minio_presign_seconds,
            threads=settings.tts_concurrency,
        )
    else:
        audio = FolderAudio(settings.data_dir / "audio", settings.gateway_url)
    try:
        yield audio
    finally:
        await audio.aclose()


def application(settings: Settings, store: Store) -> Application:
    """The use cases over the store."""
    return Application(
        store,
        max_attempts=settings.retry_max_attempts,
        deadline_seconds=settings.task_deadline_seconds,
        segment_max_chars=settings.segment_max_chars,
    )


def gate(settings: Settings, store: Store) -> Gate:
    """The gate before Replicate: one for all processes on a PostgreSQL, else one for each."""
    limits = Limits(settings.creates_per_minute, settings.max_in_flight)
    return Gate(_documents(store), limits, watch=GateMetrics())


def signals(settings: Settings, store: Store, *, alone: bool) -> Signals | None:
    """How gateways tell processors of webhooks; None where Replicate is asked for none.

    ``alone`` says that gateway and processor are one process. Separate ones need a PostgreSQL to
    tell each other anything: over a SQLite file they poll.
    """
    if not settings.webhook_url:
        return None
    if isinstance(store, PostgresStore):
        return PostgresSignals(store.server)
    if alone:
        return LocalSignals()
    logger.warning("Webhooks are off: separate processes need PostgreSQL for them, not SQLite")
    return None


def webhook_secret(settings: Settings, stack: AsyncExitStack) -> GivenSecret | AccountSecret:
    """What webhooks are signed with, by the settings or by Replicate."""
    if given := settings.replicate_webhook_secret.get_secret_value():
        return GivenSecret(given)
    token = settings.replicate_api_token.get_secret_value()
    if not token and not settings.replicate_is_local:
        logger.warning(
            "No webhook will be taken: set REPLICATE_WEBHOOK_SECRET, or REPLICATE_API_TOKEN to "
            "have Replicate asked for it"
        )
    secret = AccountSecret(
        base_url=settings.replicate_base_url,
        token=token or "sandbox",
        timeout=settings.replicate_timeout_ms / 1000,
    )
    stack.push_async_callback(secret.aclose)
    return secret


def relay(settings: Settings, app: Application, store: Store, queue: Queue) -> Relay:
    """The relay; a queue that dies with the process is rebuilt from the log."""
    return Relay(
        app,
        store,
        store,
        queue,
        window=settings.dispatch_window,
        watchdog_seconds=settings.watchdog_seconds,
        observe=observe_relay,
    )


async def processor(
    settings: Settings,
    stack: AsyncExitStack,
    app: Application,
    store: Store,
    queue: Queue,
    audio: Audio,
    upstream: Gate,
    signals: Signals | None,
) -> Processor:
    """The processor; its HTTP clients are closed with ``stack``. Without ``signals``, it polls.

    Raises:
        ConfigError: nothing says whom to ask for predictions.
    """
    token = settings.replicate_api_token.get_secret_value()
    if not token and not settings.replicate_is_local:
        raise ConfigError(
            "REPLICATE_API_TOKEN is not set: set it, or start `tts sandbox` and point "
            "REPLICATE_BASE_URL and TEMPLATE_BASE_URL at it"
        )
    timeout = settings.replicate_timeout_ms / 1000
    predictions = ReplicatePredictions(
        token=token or "sandbox",
        base_url=settings.replicate_base_url,
        model_version=settings.replicate_model_version,
        timeout=timeout,
        max_bytes=settings.audio_max_bytes,
        webhook=settings.webhook_url if signals else "",
    )
    stack.push_async_callback(predictions.aclose)
    templates = HttpTemplates(
        settings.template_base_url, cache_seconds=settings.template_cache_seconds
    )
    stack.push_async_callback(templates.aclose)
    if isinstance(audio, MinioAudio):
        await _try_to_ensure_bucket(audio)
    poll_ms = settings.replicate_safety_poll_ms if signals else settings.replicate_poll_interval_ms
    resources = Resources(
        log=store,
        templates=templates,
        predictions=predictions,
        audio=audio,
        gate=upstream,
        inspect=inspect,
        policy=retry_policy(settings),
        model_version=settings.replicate_model_version,
        poll_interval=poll_ms / 1000,
        create_timeout=timeout,
        segment_max_chars=settings.segment_max_chars,
        segment_concurrency=settings.segment_concurrency,
        prediction_owners=PredictionOwners(_documents(store)),
        observe=observe_step,
    )
    return Processor(
        app,
        queue,
        resources,
        worker=f"{socket.gethostname()}-{os.getpid()}",
        concurrency=settings.tts_concurrency,
        grace_seconds=settings.shutdown_seconds,
        signals=signals,
    )


def _documents(store: Store) -> SharedDocument:
    """What all processors share; that of a service which is one process ends with it."""
    if isinstance(store, PostgresStore):
        return PostgresDocuments(store.server)
    return MemoryDocuments()


async def _try_to_ensure_bucket(audio: MinioAudio) -> None:
    try:
        await audio.ensure_bucket()
    except StepError as error:
        # It is no reason not to start: whoever stores first tries again.
        logger.warning("The bucket cannot be looked at yet: %s", error.message)


def retry_policy(settings: Settings) -> RetryPolicy:
    """The backoff that the ``RETRY_*`` settings describe."""
    return RetryPolicy(
        initial=settings.retry_initial_interval_ms / 1000,
        multiplier=settings.retry_multiplier,
        maximum=settings.retry_max_interval_ms / 1000,
        jitter=settings.retry_jitter,
    )
