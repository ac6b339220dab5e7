"""What a process runs: the parts of its roles, over one composition."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from projections.all_models import PROJECTIONS
from projections.database import open_database
from projections.dead_letter_queries import DeadLetterQueries
from projections.ports import Database
from projections.runner import Projector
from projections.task_queries import TaskQueries
from tts.application.dead_letters import Selection
from tts.audio.folder import FolderAudio
from tts.bootstrap import Composition, compose
from tts.cli import facts
from tts.cli.data_folder import check_folder, check_store, claim, disk_notes
from tts.cli.greeting import greet
from tts.cli.process import Part
from tts.cli.sandboxes import with_sandbox
from tts.cli.worker import Worker, inherited
from tts.config import ConfigError, Settings
from tts.domain.failures import StepError, Treatment
from tts.http.listening import bind
from tts.observability.health import Notes, Probe
from tts.observability.metrics.gate import forget_gate
from tts.observability.metrics.process import DISK
from tts.observability.metrics.processor import PRICE
from tts.observability.metrics.projector import forget_lists, observe_lists
from tts.observability.metrics.registries import GATE, PROCESS, PROCESSOR, PROJECTOR, RELAY, show
from tts.observability.metrics.roster import forget_roster, look_at_roster
from tts.observability.presence import Presence, Tell
from tts.observability.watch import Watch, kept
from tts.parts.event_store import START_PATIENCE_SECONDS, is_shared
from tts.patience import Outage, first_of
from tts.ports.errors import Unavailable
from tts.queue.memory import MemoryQueue

if TYPE_CHECKING:
    from tts.observability.siblings import Siblings

logger = logging.getLogger(__name__)


class Role(StrEnum):
    """What a process can do, in the order of stopping.

    Who takes orders in stops before who works them off.
    """

    GATEWAY = "gateway"
    PROCESSOR = "processor"
    RELAY = "relay"
    PROJECTOR = "projector"


EMBEDDED = frozenset({Role.PROCESSOR, Role.RELAY, Role.PROJECTOR})
"""What `tts up` has in one process, whether or not gateways are processes of their own."""


@dataclass
class Deployment:
    """A process under construction: each role adds its part, and probes of what it needs."""

    composition: Composition
    stack: AsyncExitStack
    rebuild: bool
    listener: socket.socket | None
    siblings: Siblings | None
    probes: dict[str, Probe] = field(default_factory=dict)
    noted: list[Notes] = field(default_factory=list)
    leading: Callable[[], bool] | None = None
    facts: dict[str, Tell] = field(default_factory=dict)
    watches: list[Watch] = field(default_factory=list)

    def notes(self) -> list[str]:
        """What an operator should mend although everything works."""
        return [note for notes in self.noted for note in notes()]


async def deploy(
    settings: Settings, stack: AsyncExitStack, roles: Collection[Role], *, rebuild: bool = False
) -> list[Part]:
    """The parts of a process with these roles; with ``rebuild`` the relay first fills the queue.

    One of several workers leaves the gateway to those that have a socket for it.
    """
    worker = inherited()
    if worker is not None and worker.listener is None:
        roles = [role for role in roles if role is not Role.GATEWAY]
    listener = _listener(settings, stack, worker) if Role.GATEWAY in roles else None
    if listener is not None:
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    _check(settings, roles)
    if EMBEDDED.issubset(roles):
        unshared = claim(settings, stack)
        if settings.sandboxed:
            settings = await with_sandbox(settings, stack, keep=unshared)
    alone = Role.GATEWAY in roles and Role.PROCESSOR in roles
    composition = await stack.enter_async_context(
        compose(settings, alone=alone, gateway=Role.GATEWAY in roles)
    )
    show(PROCESS)
    siblings = _siblings(worker) if worker else None
    if siblings is not None:
        await stack.enter_async_context(siblings.offered())
    deployment = Deployment(composition, stack, rebuild, listener, siblings)
    deployment.noted.append(partial(disk_notes, settings.data_dir))
    if settings.minio_endpoint and not {Role.GATEWAY, Role.PROCESSOR}.isdisjoint(roles):
        await _watch_bucket(deployment)
    deployment.probes["store"] = composition.store.ready
    _note(deployment, is_gateway=Role.GATEWAY in roles)
    parts = [await PARTS[role](deployment) for role in Role if role in roles]
    presence = Presence(composition.roster, composition.worker, deployment.probes, deployment.facts)
    await stack.enter_async_context(presence.entry())
    await stack.enter_async_context(kept(deployment.watches))
    if worker is None and Role.GATEWAY in roles:
        greet(settings)
    elif worker is None and settings.metrics_port:
        await _monitored(deployment)
    return parts


def _siblings(worker: Worker) -> Siblings:
    from tts.observability.siblings import Siblings  # noqa: PLC0415 -- it brings a server along

    return Siblings(Path(worker.folder), worker.number)


def _note(deployment: Deployment, *, is_gateway: bool) -> None:
    """Have health say what is wrong around this process, though it works."""
    settings, store = deployment.composition.settings, deployment.composition.store
    if is_shared(store):
        deployment.noted.append(store.clock.notes)
    if is_gateway and settings.misleading_audio:
        logger.warning("%s", settings.misleading_audio)
        deployment.noted.append(lambda: [settings.misleading_audio])


async def _gateway(deployment: Deployment) -> Part:
    from tts.cli.gateway import compose_gateway  # noqa: PLC0415 -- only who serves needs a server

    # What it accepts is in the log, so it needs neither the broker nor the audio's place.
    parts = deployment.composition
    database = await _open_read_models(deployment)
    siblings = deployment.siblings
    metrics = siblings.metrics if siblings else None
    gateway = compose_gateway(parts, database, deployment.probes, deployment.notes, metrics)
    _watch_outside(deployment)
    deployment.watches.append(Watch(partial(look_at_roster, parts.roster), forget_roster))
    deployment.facts[Role.GATEWAY] = facts.of_gateway(gateway.hub)
    return partial(gateway.run, deployment.listener)


async def _open_read_models(deployment: Deployment) -> Database:
    settings = deployment.composition.settings
    database = open_database(settings.store_url, settings.direct_url)
    outage = Outage("Waiting for the read models")
    await outage.wait_out(database.open, at_most=START_PATIENCE_SECONDS)
    deployment.stack.push_async_callback(database.aclose)
    return database


async def _processor(deployment: Deployment) -> Part:
    parts = deployment.composition
    _probe_queue(deployment)
    if not isinstance(parts.audio, FolderAudio):
        deployment.probes["audio"] = parts.audio.ready
    deployment.probes["workplace"] = parts.workplace.ready
    deployment.noted.append(parts.storing.notes)
    show(PROCESSOR)
    PRICE.set(parts.settings.replicate_price_per_second)
    _watch_outside(deployment)
    processor = parts.processor()
    deployment.facts[Role.PROCESSOR] = facts.of_processor(processor)
    return processor.run


def _watch_outside(deployment: Deployment) -> None:
    """Show the gate and the disk of the data, of which gateways and processors know."""
    show(GATE)
    DISK.folder = deployment.composition.settings.data_dir
    watch = Watch(deployment.composition.gate.state, forget_gate)
    if watch not in deployment.watches:  # gateway and processor in one process have one gate
        deployment.watches.append(watch)


async def _watch_bucket(deployment: Deployment) -> None:
    """Look at the bucket as soon as it answers: it is no reason not to start before that."""
    settings, audio = deployment.composition.settings, deployment.composition.audio
    if isinstance(audio, FolderAudio):
        return
    if settings.tts_api_keys_file and not settings.presign_seconds:
        logger.warning(
            "MINIO_PRESIGN_SECONDS=0: audio is public, whoever has its URL needs no key for it"
        )
    deployment.noted.append(lambda: audio.notes)

    async def look() -> None:
        try:
            await audio.ensure_bucket()
        except StepError as error:
            if error.treatment is not Treatment.CONFIGURATION:
                raise Unavailable(error.message) from error
            logger.warning("The bucket cannot be looked at: %s", error.message)

    looking = asyncio.create_task(Outage("The bucket cannot be looked at").wait_out(look))

    async def end() -> None:
        looking.cancel()
        await asyncio.wait([looking])

    deployment.stack.push_async_callback(end)


async def _relay(deployment: Deployment) -> Part:
    show(RELAY)
    parts = deployment.composition
    relay = parts.relay()
    _probe_queue(deployment)
    deployment.leading = lambda: relay.leading
    deployment.facts[Role.RELAY] = facts.of_relay(relay, parts.store, parts.roster, parts.now)
    deployment.noted.append(relay.notes)

    callbacks = parts.callbacks()

    async def run() -> None:
        if deployment.rebuild:
            await relay.rebuild()
        await first_of(relay.run(), callbacks.run())

    return run


async def _projector(deployment: Deployment) -> Part:
    store = deployment.composition.store
    database = await _open_read_models(deployment)
    projector = Projector(store, database, PROJECTIONS)
    deployment.probes["projector"] = projector.ready
    deployment.leading = lambda: projector.leading
    show(PROJECTOR)
    tasks, letters = TaskQueries(database), DeadLetterQueries(database)

    async def look() -> None:
        if projector.leading:
            observe_lists(await tasks.counts(), await letters.counts(Selection()))
        else:
            forget_lists()

    deployment.watches.append(Watch(look, forget_lists))
    now = deployment.composition.now
    deployment.facts[Role.PROJECTOR] = facts.of_projector(projector, store, now)
    return projector.run


PARTS: dict[Role, Callable[[Deployment], Awaitable[Part]]] = {
    Role.GATEWAY: _gateway,
    Role.PROCESSOR: _processor,
    Role.RELAY: _relay,
    Role.PROJECTOR: _projector,
}


def _probe_queue(deployment: Deployment) -> None:
    queue = deployment.composition.queue
    if not isinstance(queue, MemoryQueue) and "queue" not in deployment.probes:
        deployment.probes["queue"] = queue.healthy
        deployment.noted.append(lambda: queue.notes)


async def _monitored(deployment: Deployment) -> None:
    """Serve /health and /metrics of a process without a gateway."""
    from gateway.hosts import Hosts  # noqa: PLC0415
    from tts.observability.monitor import monitor  # noqa: PLC0415 -- they bring servers along

    settings = deployment.composition.settings
    monitoring = monitor(
        bind(settings.host, settings.metrics_port, "METRICS_PORT"),
        deployment.probes,
        door=Hosts(settings).refusal,
        notes=deployment.notes,
        leading=deployment.leading,
    )
    await deployment.stack.enter_async_context(monitoring)


def _listener(settings: Settings, stack: AsyncExitStack, worker: Worker | None) -> socket.socket:
    from gateway.access.admission import check_credentials  # noqa: PLC0415 -- as above

    check_credentials(settings)
    listener = worker.socket() if worker else bind(settings.host, settings.port)
    stack.callback(listener.close)
    return listener


def _check(settings: Settings, roles: Collection[Role]) -> None:
    _need_shared_queue(settings, roles)
    check_store(settings)
    if not settings.minio_endpoint and not {Role.GATEWAY, Role.PROCESSOR}.isdisjoint(roles):
        check_folder(settings.data_dir)
        check_folder(settings.data_dir / "audio")


def _need_shared_queue(settings: Settings, roles: Collection[Role]) -> None:
    """A relay without a processor, or the other way round, needs a queue that both can reach."""
    ends = [role for role in (Role.RELAY, Role.PROCESSOR) if role in roles]
    if len(ends) == 1 and not settings.rabbitmq_url.get_secret_value():
        raise ConfigError(
            f"RABBITMQ_URL is not set: `tts {ends[0]}` shares its queue with other processes "
            "(`tts up` runs everything in one)"
        )
