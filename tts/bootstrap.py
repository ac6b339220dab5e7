"""Composes a process out of its parts; which implementation each one has is decided here alone."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypedDict, TypeVar, Unpack

from tts.application.tasks import Application, utc_now
from tts.callbacks.callbacks import Callbacks
from tts.callbacks.delivery import Delivery
from tts.config import ConfigError, Settings
from tts.domain.retry import RetryPolicy
from tts.domain.values import AudioFormat
from tts.gate.gate import Gate
from tts.gate.state import Limits
from tts.gate.storing import Storing
from tts.http.callbacks import CallbackReach, HttpCallbackSender
from tts.observability.metrics import (
    observe_callbacks,
    observe_gate,
    observe_kept,
    observe_relay,
    observe_step,
    observe_storing,
)
from tts.observability.metrics.calls import timed
from tts.observability.metrics.tasks import observe_command, witness
from tts.parts.audio import Audio, audio_store
from tts.parts.event_store import Store, is_shared, open_store
from tts.parts.replicate import account_secret, replicate_predictions
from tts.parts.tracing import open_telemetry, traced
from tts.parts.trust import trust_of
from tts.ports.coordination import SharedDocument, Signals
from tts.ports.speech import Predictions, Templates
from tts.ports.tracing import NO_TRACING, Tracing
from tts.processor.forgotten_predictions import ForgottenPredictions
from tts.processor.kept_audio import KeptAudio
from tts.processor.prediction_owners import PredictionOwners
from tts.processor.processor import Processor
from tts.processor.recorded_predictions import RecordedPredictions
from tts.processor.resources import Resources
from tts.processor.workplace import Workplace
from tts.queue.memory import MemoryQueue
from tts.relay.relay import Relay
from tts.replicate.webhook_secret import AccountSecret, GivenSecret
from tts.store.callbacks import CallbackRows
from tts.store.documents import PostgresDocuments
from tts.store.memory import LocalSignals, MemoryDocuments
from tts.store.postgres_roster import PostgresRoster
from tts.store.sqlite_roster import SQLiteRoster
from tts.templates import HttpTemplates

if TYPE_CHECKING:
    from tts.queue.rabbitmq import RabbitMQ

logger = logging.getLogger(__name__)

Queue: TypeAlias = "MemoryQueue | RabbitMQ"


class Substitutes(TypedDict, total=False):
    """Parts that are given; who gives one closes it."""

    store: Store
    queue: Queue
    audio: Audio
    predictions: Predictions
    templates: Templates
    documents: SharedDocument
    gate: Gate
    signals: Signals | None
    webhook_secret: GivenSecret | AccountSecret
    now: Callable[[], datetime]
    worker: str


@contextlib.asynccontextmanager
async def compose(
    settings: Settings,
    *,
    alone: bool = False,
    gateway: bool = False,
    **substitutes: Unpack[Substitutes],
) -> AsyncIterator[Composition]:
    """A process's parts, with the event store open; what is made is closed with the context.

    ``alone`` says that gateway and processor are this one process, ``gateway`` that the gateway is
    in it.

    Raises:
        Unavailable: there is no event store, a minute long.
    """
    async with AsyncExitStack() as stack:
        if "store" not in substitutes:
            substitutes["store"] = await stack.enter_async_context(
                open_store(settings.store_url, settings.direct_url)
            )
        yield Composition(settings, stack, substitutes, alone=alone, gateway=gateway)


class Composition:
    """The parts of one process, each made from the settings when it is first asked for."""

    store: Store

    def __init__(
        self,
        settings: Settings,
        stack: AsyncExitStack,
        substitutes: Substitutes,
        *,
        alone: bool,
        gateway: bool = False,
    ) -> None:
        self.settings = settings
        self._stack = stack
        self._alone = alone
        self._gateway = gateway
        vars(self).update(substitutes)  # where a cached property looks first

    @cached_property
    def now(self) -> Callable[[], datetime]:
        """The clock of everything that is written down: one for all processes."""
        return self.store.clock.now if is_shared(self.store) else utc_now

    @cached_property
    def application(self) -> Application:
        """The use cases over the store."""
        return Application(
            self.store,
            max_attempts=self.settings.retry_max_attempts,
            deadline_seconds=self.settings.task_deadline_seconds,
            segment_max_chars=self.settings.segment_max_chars,
            speech_cleanup=self.settings.speech_cleanup,
            default_format=self.settings.audio_format.value,
            now=self.now,
            observe=observe_command,
        )

    @cached_property
    def queue(self) -> Queue:
        """The queue between relay and processor."""
        url = self.settings.rabbitmq_url.get_secret_value()
        if not url:
            return self._closing(MemoryQueue())
        from tts.queue.rabbitmq import RabbitMQ  # noqa: PLC0415 -- only who has a broker needs it

        return self._closing(RabbitMQ(url))

    @cached_property
    def audio(self) -> Audio:
        """Where audio lies."""
        knows_readers = self._gateway or "minio_presign_seconds" in self.settings.model_fields_set
        return self._closing(audio_store(self.settings, knows_readers=knows_readers))

    @cached_property
    def workplace(self) -> Workplace:
        """Where a processor puts long audio together."""
        return Workplace(self.settings.data_dir / "work")

    @cached_property
    def predictions(self) -> Predictions:
        """Replicate, which sends webhooks if there are signals to pass them on.

        Raises:
            ConfigError: nothing says whom to ask.
        """
        webhook = self.settings.webhook_url if self.signals else ""
        return self._closing(replicate_predictions(self.settings, webhook=webhook, now=self.now))

    @cached_property
    def templates(self) -> Templates:
        """The host of the reference voices."""
        return self._closing(
            HttpTemplates(
                self.settings.template_base_url,
                cache_seconds=self.settings.template_cache_seconds,
                trust=trust_of(self.settings),
            )
        )

    @cached_property
    def documents(self) -> SharedDocument:
        """What all processors share; that of a service which is one process ends with it."""
        if is_shared(self.store):
            return PostgresDocuments(self.store.server)
        return MemoryDocuments()

    @cached_property
    def roster(self) -> PostgresRoster | SQLiteRoster:
        """Who is at work."""
        return self._closing(roster_of(self.store))

    @cached_property
    def callback_table(self) -> CallbackRows:
        """Who is to be told that a task is over."""
        return self._closing(callback_rows_of(self.store))

    @cached_property
    def gate(self) -> Gate:
        """The gate before Replicate: one for all processes on a PostgreSQL, else one for each."""
        limits = Limits(self.settings.creates_per_minute, self.settings.max_in_flight)
        return self._closing(
            Gate(self.documents, limits, observe=observe_gate, clock=self._seconds)
        )

    @cached_property
    def storing(self) -> Storing:
        """What finished audio passes on its way into its store."""
        return Storing(self.audio.ready, observe=observe_storing, now=self.now)

    @cached_property
    def signals(self) -> Signals | None:
        """How gateways tell processors of webhooks; None where Replicate is asked for none.

        Separate processes need a PostgreSQL to tell each other anything: over SQLite they poll.
        """
        if not self.settings.webhook_url:
            return None
        if is_shared(self.store):
            from tts.store.signals import PostgresSignals  # noqa: PLC0415 -- with psycopg

            return PostgresSignals(self.store.server, self.store.listening)
        if self._alone:
            return LocalSignals()
        logger.warning("Webhooks are off: separate processes need PostgreSQL for them, not SQLite")
        return None

    @cached_property
    def webhook_secret(self) -> GivenSecret | AccountSecret:
        """What webhooks are signed with, by the settings or by Replicate."""
        if given := self.settings.replicate_webhook_secret.get_secret_value():
            return GivenSecret(given)
        return self._closing(account_secret(self.settings))

    @cached_property
    def tracing(self) -> Tracing:
        """Where it is written down what is done for each task.

        Raises:
            ConfigError: the extra that it takes is not installed.
        """
        endpoint = self.settings.otel_exporter_otlp_endpoint
        if not endpoint:
            return NO_TRACING
        return self._closing(open_telemetry(endpoint, instance=self.worker))

    @cached_property
    def worker(self) -> str:
        """The processor's name in the log."""
        return f"{socket.gethostname()}-{os.getpid()}"

    @cached_property
    def resources(self) -> Resources:
        """What a processor talks to."""
        settings = self.settings
        poll_ms = (
            settings.replicate_safety_poll_ms
            if self.signals
            else settings.replicate_poll_interval_ms
        )
        predictions = timed("replicate", self.predictions, self.tracing)
        return Resources(
            log=self.store,
            templates=timed("templates", self.templates, self.tracing),
            predictions=predictions,
            audio=timed("audio", self.audio, self.tracing),
            gate=self.gate,
            storing=self.storing,
            kept=KeptAudio(
                settings.data_dir / "work",
                settings.audio_max_bytes * settings.tts_concurrency,
                observe=observe_kept,
            ),
            workplace=self.workplace,
            policy=retry_policy(settings),
            model_version=settings.replicate_model_version,
            poll_interval=poll_ms / 1000,
            create_timeout=settings.replicate_timeout_ms / 1000,
            segment_max_chars=settings.segment_max_chars,
            segment_concurrency=settings.segment_concurrency,
            prediction_owners=PredictionOwners(self.documents),
            forgotten_predictions=self._closing(ForgottenPredictions(predictions, self.now)),
            recorded_predictions=RecordedPredictions(self.store),
            observe=observe_step,
            witnesses=partial(witness, tracing=self.tracing),
            tracing=self.tracing,
        )

    def relay(self) -> Relay:
        """A relay; a queue that dies with the process is rebuilt from the log."""
        return Relay(
            self.application,
            self.store,
            self.store,
            traced(self.queue, self.tracing, self.application.caller_of),
            window=self.settings.dispatch_window,
            watchdog_seconds=self.settings.watchdog_seconds,
            observe=observe_relay,
        )

    def callbacks(self) -> Callbacks:
        """What tells clients that their tasks are over."""
        reach = CallbackReach(self.settings.callback_hosts)
        delivery = Delivery(
            self.application,
            self.callback_table,
            self._closing(HttpCallbackSender(reach, trust=trust_of(self.settings))),
            audio_url=self.audio.url,
            observe=observe_callbacks,
        )
        return Callbacks(self.store, self.store, self.callback_table, delivery)

    def processor(self) -> Processor:
        """A processor; without signals, it polls.

        Raises:
            ConfigError: nothing says whom to ask for predictions, or AUDIO_FORMAT is one that
                cannot be written here.
        """
        self._check_format()
        return Processor(
            self.application,
            self.queue,
            self.resources,
            worker=self.worker,
            concurrency=self.settings.tts_concurrency,
            grace_seconds=self.settings.shutdown_seconds,
            signals=self.signals,
        )

    def _check_format(self) -> None:
        if self.settings.audio_format is AudioFormat.WAV:
            return
        # It brings along what listens to audio, which a processor needs at its first task.
        from tts.sound.encoding import unwritable  # noqa: PLC0415

        if problem := unwritable(self.settings.audio_format):
            raise ConfigError(f"AUDIO_FORMAT: {problem}")

    def _seconds(self) -> float:
        return self.now().timestamp()

    def _closing(self, part: P) -> P:
        self._stack.push_async_callback(part.aclose)
        return part


class Closable(Protocol):
    """What holds connections."""

    async def aclose(self) -> None:
        """Let go of them."""
        ...


P = TypeVar("P", bound=Closable)


def roster_of(store: Store) -> PostgresRoster | SQLiteRoster:
    """The roster that stands beside the log of a store."""
    if is_shared(store):
        return PostgresRoster(store.server)
    return SQLiteRoster(store.path)


def callback_rows_of(store: Store) -> CallbackRows:
    """The table of callbacks that stands beside the log of a store."""
    if is_shared(store):
        return CallbackRows.in_postgres(store.server)
    return CallbackRows.in_sqlite(store.path)


def retry_policy(settings: Settings) -> RetryPolicy:
    """The backoff that the ``RETRY_*`` settings describe."""
    return RetryPolicy(
        initial=settings.retry_initial_interval_ms / 1000,
        multiplier=settings.retry_multiplier,
        maximum=settings.retry_max_interval_ms / 1000,
        jitter=settings.retry_jitter,
    )
