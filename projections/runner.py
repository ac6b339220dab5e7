"""Keeps the read models up to date with the log; one process leads, the others stand by.

When the log goes back, a read model in the same database has gone back with it, and goes on from
there. One that has applied what is gone is made anew, from the first event on; so is one that an
older version of the service made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from projections import registry
from projections.advance import Group, Moved, Unreadable
from projections.ports import Database, Projection
from projections.rebuild import NotWhole, Rebuild, Source
from projections.registry import Standing
from tts.patience import Outage, lead
from tts.ports.epochs import WentBack
from tts.ports.errors import Unavailable
from tts.ports.log import Recorded

logger = logging.getLogger(__name__)

NAME = "projector"
BATCH = 500
GATHER_SECONDS = 0.1  # so far lists may be behind while much happens
PAUSE_SECONDS = 60.0  # for which who cannot go on leaves the lead to others
REBUILD_EVENTS = 20_000  # of a log whose read models are not there: they are made without indexes

Models = list[tuple[Projection, Standing]]


class Projector:
    """Applies the log to every read model, to all together as soon as they stand at one position.

    One that fails at an event stops in front of it for as long as this process lives, and
    :meth:`ready` says so. At an event of a newer version all wait, and the leadership is free for a
    process that knows it.
    """

    def __init__(
        self,
        source: Source,
        database: Database,
        projections: Sequence[Projection],
    ) -> None:
        self._source = source
        self._database = database
        self._projections = projections
        self._outage = Outage("The read models cannot be reached")
        self.leading = False
        self._troubles: dict[str, str] = {}
        self._stopped: set[str] = set()  # for good
        self._waiting: set[str] = set()  # until the next term
        self._positions = {projection.name: 0 for projection in projections}
        self._renewing: set[str] = set()

    @property
    def positions(self) -> dict[str, int]:
        """How far each has come, as far as this process knows: 0 on a standby."""
        return dict(self._positions)

    @property
    def position(self) -> int:
        """How far the slowest has come."""
        return min(self._positions.values())

    async def ready(self) -> None:
        """Return while every read model goes on, else raise Unavailable."""
        if self._troubles:
            raise Unavailable("; ".join(self._troubles.values()))

    async def run(self) -> None:
        """Wait for the leadership, project, and start over when it is lost; until canceled."""
        while True:
            await lead(self._source, NAME, self._term)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _term(self) -> None:
        """Project; return when no read model goes on, so that another process has its chance."""
        self.leading = True
        self._waiting.clear()
        try:
            async with asyncio.TaskGroup() as group:
                while models := await self._outage.wait_out(partial(self._models, group)):
                    try:
                        await self._go_on(models)
                    except Moved:
                        continue
                    except WentBack as error:
                        logger.warning("The read models look where they stand: %s", error)
                    except Unavailable as error:
                        # Read again, since the log may be another when the database is back.
                        await asyncio.sleep(self._outage.failed(error))
                    except Unreadable as error:
                        await self._wait([p for p, _ in models], error)
        finally:
            self.leading = False
            self._renewing.clear()

    async def _models(self, group: asyncio.TaskGroup) -> Models:
        """The read models that go on, those first that are behind; others are made anew."""
        there = await registry.serving(self._database)
        end = await self._source.position()
        newer = {p.name for p in self._projections if there[p.name].version > p.version}
        for name in newer:
            await self._tell(name, "waits: a newer version of the service has made it")
        models: Models = []
        outdated = []
        for projection in self._projections:
            standing = there[projection.name]
            self._positions[projection.name] = standing.position
            if newer or projection.name in self._stopped | self._waiting | self._renewing:
                continue
            if self._is_outdated(projection, standing, end):
                outdated.append(projection)
                continue
            if standing.version < projection.version:
                async with self._database.transaction() as transaction:
                    await registry.adopt(transaction, projection, standing.place)
            models.append((projection, standing))
        if outdated:
            self._renewing.update(projection.name for projection in outdated)
            group.create_task(self._renew(outdated))
        if not models and self._renewing:
            while self._renewing:
                await asyncio.sleep(GATHER_SECONDS)
            return await self._models(group)
        return sorted(models, key=lambda model: model[1].position)

    def _is_outdated(self, projection: Projection, standing: Standing, end: int) -> bool:
        try:
            self._source.epochs.check(standing.position)
        except WentBack:
            return True
        if standing.position < self._source.archived_to:
            return True  # what it has not seen is not all in the log
        if standing.version == registry.NO_VERSION and standing.position == 0:
            return end > REBUILD_EVENTS
        return standing.version < projection.version

    async def _renew(self, projections: Sequence[Projection]) -> None:
        names = ", ".join(projection.name for projection in projections)
        logger.warning("Read models are made anew from the log: %s", names)
        rebuild = Rebuild(self._source, self._database)
        outage = Outage("Read models cannot be made anew")
        while True:
            try:
                await outage.wait_out(partial(rebuild.replace, projections))
            except WentBack:
                continue
            except Unreadable as error:
                await self._wait(projections, error)
            except NotWhole as error:
                for projection in projections:
                    self._stopped.add(projection.name)
                    await self._tell(projection.name, f"stopped: {error}; then restart this")
            except Exception as error:  # the others go on
                logger.exception("Read models cannot be made anew: %s", names)
                for projection in projections:
                    self._stopped.add(projection.name)
                    await self._tell(projection.name, f"stopped: it cannot be made anew: {error}")
            break
        self._renewing.difference_update(projection.name for projection in projections)

    async def _go_on(self, models: Models) -> None:
        """Bring those that are behind to where the next ones are, or all to the end and further."""
        position = models[0][1].position
        first = [(p, s.place) for p, s in models if s.position == position]
        further = [s.position for _, s in models if s.position > position]
        group = Group(self._database, self._source.events, first, position)
        if further:
            await self._catch_up(group, further[0])
            raise Moved
        await self._follow(group)

    async def _catch_up(self, group: Group, until: int) -> None:
        while group.position < until:
            events = await self._source.read(group.position, BATCH)
            await self._apply(group, [event for event in events if event.position <= until])

    async def _follow(self, group: Group) -> None:
        """Apply batch after batch.

        An event that comes alone is applied at once; what comes soon after it is gathered, since a
        transaction costs the same for one event as for twenty.
        """
        now = asyncio.get_running_loop().time
        renewing = set(self._renewing)
        async for events in self._source.follow(group.position, batch=BATCH):
            gathered_at = now() + GATHER_SECONDS
            await self._apply(group, events)
            if renewing != self._renewing:
                raise Moved  # what was made anew joins
            if len(events) < BATCH:
                await asyncio.sleep(max(gathered_at - now(), 0))

    async def _apply(self, group: Group, events: Sequence[Recorded]) -> None:
        try:
            await group.apply(events)
        except Unreadable as error:
            if error.index:
                await self._apply(group, events[: error.index])
            raise
        except (Moved, Unavailable, WentBack):
            raise
        except Exception:  # noqa: BLE001 -- it comes again below, and is logged there
            await self._apply_alone(group, events)
            raise Moved from None
        self._outage.over()
        for projection, _ in group.models:
            self._positions[projection.name] = group.position
            self._troubles.pop(projection.name, None)

    async def _apply_alone(self, group: Group, events: Sequence[Recorded]) -> None:
        """Each by itself and event by event, so that only those stop that cannot apply one."""
        for model in group.models:
            alone = Group(self._database, self._source.events, [model], group.position)
            for event in events:
                try:
                    await alone.apply([event])
                except (Moved, Unavailable, WentBack, Unreadable):
                    raise
                except Exception as error:  # noqa: BLE001 -- it is logged with the stop
                    await self._stop(model, event, error)
                    break

    async def _stop(self, model: tuple[Projection, int], event: Recorded, error: Exception) -> None:
        name = model[0].name
        at = f"{event.topic} at position {event.position}"
        logger.error(
            "Read model %s stops: it cannot apply %s",
            name,
            at,
            exc_info=error,
            extra={"task_id": str(event.task_id), "position": event.position},
        )
        self._stopped.add(name)
        await self._tell(name, f"stopped: {at}: {error}")

    async def _wait(self, projections: Sequence[Projection], error: Unreadable) -> None:
        """Say, once, that these go no further in this process."""
        for projection in projections:
            self._waiting.add(projection.name)
            await self._tell(projection.name, f"waits for a newer process: {error}")

    async def _tell(self, name: str, trouble: str) -> None:
        """Say it to those who ask this process, to the log, and to those who look at the list."""
        sentence = f"read model {name} {trouble}"
        if self._troubles.get(name) != sentence:
            self._troubles[name] = sentence
            if name not in self._stopped:  # that has been logged
                logger.warning("%s", sentence)
        async with self._database.transaction() as transaction:
            await registry.tell_trouble(transaction, name, trouble)
