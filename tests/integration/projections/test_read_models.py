"""What every read model promises, in both databases."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from random import Random

import orjson
import pytest
from eventsourcing.persistence import StoredEvent

from projections import advance, rebuild, registry, runner
from projections.advance import Group, Moved, Unreadable
from projections.all_models import PROJECTIONS
from projections.database import open_database
from projections.ports import Projection
from projections.rebuild import Rebuild
from projections.runner import Projector
from projections.task_queries import TaskQueries
from projections.tasks import TASKS, TasksBatch, TasksProjection
from projections.usage import UsageProjection
from tests.histories import START, live, new_task, stored
from tests.read_models import apply, caught_up, project, projecting, rows_of, standing
from tests.services.stores import Backend, Store
from tests.waiting import SECONDS, until
from tts.application.task_list import TaskSelection
from tts.application.tasks import utc_now
from tts.cli import facts
from tts.domain.task import Task
from tts.observability.metrics.registries import PROJECTOR
from tts.ports.errors import Unavailable
from tts.ports.log import Payload
from tts.store import sqlite_file
from tts.wire import UPDATES

EVERY = pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda each: each.name)
FUTURE = "tts.task.from_the_future"


@pytest.fixture(autouse=True)
def no_grace(monkeypatch):
    monkeypatch.setattr(rebuild, "GRACE_SECONDS", 0.01)


async def fill(store: Store, count: int, seed: int) -> None:
    """Let ``count`` tasks live side by side in the log, over some days."""
    random = Random(seed)
    lives = [
        stored(
            live(
                new_task(
                    random,
                    now=START + timedelta(hours=random.randrange(60)),
                    owner=random.choice(["ann", "bob"]),
                    template_id=f"t{n % 3}",
                    segments=random.choice([1, 2]),
                ),
                random,
                steps=random.randrange(60),
            )
        )
        for n in range(count)
    ]
    while any(lives):
        events = random.choice([events for events in lives if events])
        await store.append([events.pop(0) for _ in range(min(len(events), random.randint(1, 3)))])


async def forget(database) -> None:
    """Have empty rows serve, at the beginning of the log."""
    async with database.transaction() as transaction:
        for projection in PROJECTIONS:
            place = await registry.begin_anew(transaction, projection)
            await registry.serve(transaction, projection.name, place)


class TestRows:
    async def test_do_not_depend_on_how_events_were_batched(self, store, database):
        """One event at a time gives what one batch gives."""
        await fill(store, 40, seed=1)
        await apply(store, database)
        at_once = await rows_of(database)
        assert all(at_once.values()), "each table has rows to be compared"
        for size in (1, 7):
            await forget(database)
            await apply(store, database, size=size)
            assert await rows_of(database) == at_once

    async def test_do_not_depend_on_what_a_process_remembers(self, store, database):
        """A leader that has just started reads what was before the events of a task."""
        await fill(store, 20, seed=2)
        await apply(store, database)
        expected = await rows_of(database)
        await forget(database)
        there = await registry.serving(database)
        models = [(each, there[each.name].place) for each in PROJECTIONS]
        position = 0
        while events := await store.read(position, 3):
            await Group(database, store.events, models, position).apply(events)
            position = events[-1].position
        assert await rows_of(database) == expected

    async def test_say_nothing_that_was_said(self, store, database):
        """Neither text nor instruction: erasing a payload must leave no copy."""
        task = new_task(Random(3))
        await store.append(stored(task), Payload("一句秘密", "小声地", "salt"))
        await project(store, database)
        everything = str(await rows_of(database))
        assert str(task.id) in everything
        assert "秘密" not in everything
        assert "小声" not in everything

    async def test_of_a_failed_batch_are_none(self, store, database):
        """Rows and position are one transaction, of all read models together."""
        await fill(store, 3, seed=4)
        there = await registry.serving(database)
        models = [(each, there[each.name].place) for each in (UsageProjection(), Grumpy())]
        group = Group(database, store.events, models, 0)
        with pytest.raises(KeyError):
            await group.apply(await store.read(0, 10))
        assert not any((await rows_of(database)).values())
        assert {each.position for each in await registry.standings(database)} == {0}

    async def test_are_written_once_by_two_that_both_believe_to_lead(
        self, store, database, backend
    ):
        """A leader that has not noticed yet that it is deposed does no harm."""
        await fill(store, 30, seed=5)
        await apply(store, database)
        expected = await rows_of(database)
        await forget(database)
        there = await registry.serving(database)
        models = [(each, there[each.name].place) for each in PROJECTIONS]

        async def drive(its_database, size: int) -> None:
            position = 0
            while True:
                group = Group(its_database, store.events, models, position)
                if not (events := await store.read(position, size)):
                    return
                try:
                    await group.apply(events)
                except (Moved, Unavailable):
                    position = (await registry.serving(its_database))[models[0][0].name].position
                else:
                    position = group.position

        async with open_database(backend.url) as its_database:
            await asyncio.gather(drive(database, 7), drive(its_database, 11))
        assert await rows_of(database) == expected


class Grumpy(TasksProjection):
    """Cannot write one of the tasks."""

    def __init__(self, version: int = TasksProjection.version) -> None:
        self.version = version

    def batch(self) -> TasksBatch:
        """One that fails when its rows are written."""
        return _GrumpyBatch()


class _GrumpyBatch(TasksBatch):
    async def write(self, transaction, generation) -> None:
        await super().write(transaction, generation)  # these rows must not stay
        raise KeyError("grumpy")


class TestRebuild:
    @EVERY
    async def test_gives_what_there_was(self, store, database, projection: Projection, monkeypatch):
        """And verifying finds no difference, before and after; of many batches, too."""
        monkeypatch.setattr(rebuild, "BATCH", 7)
        monkeypatch.setattr(advance, "EVENTS_AT_ONCE", 2)
        await fill(store, 30, seed=6)
        await project(store, database)
        before = await rows_of(database, projection)
        anew = Rebuild(store, database)
        assert (await anew.verify(projection)).differences == []
        await anew.replace([projection])
        assert await rows_of(database, projection) == before
        verdict = await anew.verify(projection)
        assert verdict.differences == []
        assert verdict.position == await store.position()
        standings = await registry.standings(database)
        there = [(each.place, each.serving) for each in standings if each.name == projection.name]
        assert there == [(2, True)]

    async def test_that_fails_changes_nothing(self, store, database, monkeypatch):
        """Not even with what was being written at that time."""
        await fill(store, 10, seed=32)
        await project(store, database)
        before = await rows_of(database, TasksProjection())
        monkeypatch.setattr(rebuild, "BATCH", 7)
        monkeypatch.setattr(TasksProjection, "batch", _GrumpyBatch)
        with pytest.raises(KeyError):
            await Rebuild(store, database).replace([TasksProjection()])
        assert await rows_of(database, TasksProjection()) == before

    async def test_finds_what_is_wrong(self, store, database):
        """A row that says something else, one that is missing, and one too many."""
        await fill(store, 10, seed=7)
        await project(store, database)
        place = (await registry.serving(database))["tasks"].place
        table = TASKS.at(place)
        ids = [task_id for (task_id,) in await database.fetch(f"SELECT task_id FROM {table}")]  # noqa: S608
        async with database.transaction() as transaction:
            for change in ("UPDATE {} SET code = 'x'", "DELETE FROM {}"):
                await transaction.execute(f"{change.format(table)} WHERE task_id = ?", [ids.pop()])
        (difference,) = (await Rebuild(store, database).verify(TasksProjection())).differences
        assert (difference.table, difference.missing, difference.surplus) == ("tasks", 2, 1)
        await Rebuild(store, database).replace([TasksProjection()])
        assert (await Rebuild(store, database).verify(TasksProjection())).differences == []

    async def test_lets_the_old_rows_serve_until_the_end(self, store, database):
        """Who reads meanwhile sees every task, the new ones included, and never a part."""
        await fill(store, 30, seed=8)
        seen = []

        async with projecting(store, database):
            await caught_up(store, database)

            async def look() -> None:
                while True:
                    seen.append(len((await rows_of(database, TasksProjection()))["tasks"]))
                    await asyncio.sleep(0.001)

            looking = asyncio.create_task(look())
            await Rebuild(store, database).replace(PROJECTIONS)
            await until(lambda: seen, "somebody has looked")
            looking.cancel()
            await asyncio.wait([looking])
            assert set(seen) == {30}
            await fill(store, 1, seed=9)
            await caught_up(store, database)
            assert len((await rows_of(database, TasksProjection()))["tasks"]) == 31

    async def test_catches_up_with_a_log_that_goes_on(self, store, database):
        """Tasks come all the time, and the new rows have them all at the switch."""
        await fill(store, 10, seed=10)
        async with projecting(store, database):
            filling = asyncio.create_task(fill(store, 60, seed=11))
            while not filling.done():
                await Rebuild(store, database).replace([TasksProjection(), UsageProjection()])
            await filling
            await caught_up(store, database)
        for projection in PROJECTIONS:
            assert (await Rebuild(store, database).verify(projection)).differences == []

    async def test_whoever_moves_a_model_on_finds_the_rows_that_serve_now(
        self, store, database, monkeypatch
    ):
        """At once, while the old ones are still readable: perhaps nothing comes later."""
        await fill(store, 5, seed=30)
        await apply(store, database)
        group = await standing(store, database, TasksProjection())
        monkeypatch.setattr(rebuild, "GRACE_SECONDS", 3600)
        rebuilding = asyncio.create_task(Rebuild(store, database).replace([TasksProjection()]))

        async def is_new() -> bool:
            return (await registry.serving(database))["tasks"].place == 2

        await until(is_new, "the new rows serve")
        await fill(store, 1, seed=31)
        with pytest.raises(Moved):
            await group.apply(await store.read(group.position, 100))
        rebuilding.cancel()

    @EVERY
    async def test_happens_by_itself_when_the_version_is_another(
        self, store, database, projection: Projection
    ):
        """The rows that an older version made serve until then."""
        await fill(store, 20, seed=12)
        await project(store, database)
        before = await rows_of(database, projection)
        async with database.transaction() as transaction:
            await transaction.execute(
                "UPDATE read_models SET version = -1 WHERE name = ?", (projection.name,)
            )
        async with projecting(store, database):

            async def is_new() -> bool:
                return (await registry.serving(database))[projection.name].version > 0

            await until(is_new, "it is made anew")
            assert await rows_of(database, projection) == before
            await fill(store, 1, seed=13)
            await caught_up(store, database)
            assert (await Rebuild(store, database).verify(projection)).differences == []

    async def test_of_a_long_log_without_read_models_happens_without_indexes(
        self, store, database, monkeypatch
    ):
        """As when somebody has deleted them."""
        monkeypatch.setattr(runner, "REBUILD_EVENTS", 50)
        await fill(store, 20, seed=14)
        await project(store, database)
        assert {each.place for each in await registry.standings(database)} == {2}
        for projection in PROJECTIONS:
            assert (await Rebuild(store, database).verify(projection)).differences == []


def _behind(model):
    labels = {"model": model}
    return PROJECTOR.get_sample_value("tts_read_model_lag_events", labels)


class TestProjector:
    async def test_follows_the_log(self, store, database):
        """An append is in the rows soon after."""
        async with projecting(store, database) as projector:
            for seed in range(3):
                await fill(store, 2, seed=20 + seed)
                await caught_up(store, database)
                assert len((await rows_of(database))["tasks"]) == 2 * (seed + 1)
            assert projector.position == await store.position()

    async def test_brings_all_to_one_position(self, store, database):
        """Those that are behind come up to the others, and from there on they share commits."""
        await fill(store, 10, seed=23)
        await project(store, database, TasksProjection())
        await fill(store, 10, seed=24)
        await project(store, database, UsageProjection())
        await project(store, database)
        positions = {each.position for each in (await registry.serving(database)).values()}
        assert positions == {await store.position()}
        for projection in PROJECTIONS:
            assert (await Rebuild(store, database).verify(projection)).differences == []

    async def test_waits_in_front_of_an_event_of_a_newer_version(self, store, database, caplog):
        """It says so, without a traceback; a newer process takes over."""
        task = new_task(Random(25))
        known = await store.append(stored(task))
        state = orjson.dumps({"timestamp": START.isoformat(), "status": "starting"})
        position = await store.append([StoredEvent(task.id, 2, FUTURE, state)])
        await fill(store, 3, seed=26)
        async with projecting(store, database) as projector:

            async def waits() -> bool:
                try:
                    await projector.ready()
                except Unavailable as error:
                    return f"{FUTURE} at position {position}" in str(error)
                return False

            await until(waits, "it waits")
            async with asyncio.timeout(SECONDS), store.leadership("projector"):
                pass
        there = await registry.serving(database)
        assert {each.position for each in there.values()} == {known}
        assert all(FUTURE in each.trouble for each in there.values())
        assert not any(record.exc_info for record in caplog.records)
        with pytest.MonkeyPatch.context() as newer:
            newer.setitem(UPDATES, FUTURE, UPDATES[Task.Dismissed.TOPIC])
            await project(store, database)
        there = await registry.serving(database)
        assert {each.position for each in there.values()} == {await store.position()}
        assert not any(each.trouble for each in there.values())

    async def test_waits_in_front_of_a_newer_version_of_an_event(self, store, database):
        """Its fields may mean something else."""
        (event,) = stored(new_task(Random(27)))
        state = orjson.dumps(orjson.loads(event.state) | {"class_version": 2})
        await store.append([StoredEvent(event.originator_id, 1, event.topic, state)])
        there = await registry.serving(database)
        group = Group(database, store.events, [(TasksProjection(), there["tasks"].place)], 0)
        with pytest.raises(Unreadable, match=r"tts\.task\.requested at position 1"):
            await group.apply(await store.read(0, 10))

    async def test_leaves_what_a_newer_version_made_alone(self, store, database):
        """An older process does not lead there."""
        await fill(store, 3, seed=28)
        async with database.transaction() as transaction:
            await transaction.execute("UPDATE read_models SET version = 99 WHERE name = 'stats'")
        async with projecting(store, database) as projector:

            async def waits() -> bool:
                try:
                    await projector.ready()
                except Unavailable as error:
                    return "a newer version" in str(error)
                return False

            await until(waits, "it waits")
            async with asyncio.timeout(SECONDS), store.leadership("projector"):
                pass
        assert {each.position for each in await registry.standings(database)} == {0}

    async def test_stops_only_the_one_that_cannot_apply_an_event(self, store, database, caplog):
        """It is reported once and not walked past; the others go on, and metrics tell of each."""
        await fill(store, 3, seed=29)
        end = await store.position()
        async with projecting(store, database, Grumpy(), UsageProjection()) as projector:

            async def goes_on() -> bool:
                there = await registry.serving(database)
                return there["usage"].position >= end and there["tasks"].trouble is not None

            await until(goes_on, "the other one has gone on")
            with pytest.raises(Unavailable, match=r"stopped: .* at position 1: 'grumpy'"):
                await projector.ready()
            tell = facts.of_projector(projector, store, utc_now)

            async def tells_of_each() -> bool:
                return (await tell())["lag"]["events"] == end and _behind("usage") == 0

            await until(tells_of_each, "it tells of each")
            assert _behind("tasks") == end
        await tell()
        assert _behind("tasks") is None  # it leads no longer
        assert (await registry.serving(database))["tasks"].position == 0
        errors = [record for record in caplog.records if record.levelname == "ERROR"]
        assert [record.position for record in errors] == [1]

    async def test_gives_way_to_a_standby(self, store, database, backend):
        """It goes on where the leader stopped; until then it writes nothing."""
        async with backend.store() as other, open_database(backend.url) as its_database:
            first = Projector(store, database, PROJECTIONS)
            leading = asyncio.create_task(first.run())
            await fill(store, 2, seed=30)
            await caught_up(store, database)
            async with projecting(other, its_database) as second:
                await fill(store, 2, seed=31)
                await caught_up(store, database)
                assert second.position == 0
                leading.cancel()
                await asyncio.wait([leading])
                await fill(store, 2, seed=32)
                await caught_up(store, database)
                assert second.position == await store.position()
        assert len((await rows_of(database))["tasks"]) == 6

    async def test_waits_out_an_outage(self, postgres):
        """PostgreSQL restarts under it: it loses its leadership and goes on by itself."""
        backend = Backend(postgres.create_database(), postgres)
        async with backend.store() as store, open_database(backend.url) as database:
            async with projecting(store, database) as projector:
                await fill(store, 5, seed=33)
                await caught_up(store, database)
                await asyncio.to_thread(postgres.restart, crash=True)
                await fill(store, 5, seed=34)
                await caught_up(store, database)
                await projector.ready()
            for projection in PROJECTIONS:
                assert (await Rebuild(store, database).verify(projection)).differences == []

    async def test_waits_out_a_locked_file(self, tmp_path, monkeypatch, caplog):
        """Somebody's open transaction on the SQLite file delays it, and stops nothing."""
        monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.05)
        backend = Backend(f"sqlite:///{tmp_path / 'tts.db'}")
        async with (
            backend.store() as store,
            open_database(backend.url) as database,
            open_database(backend.url) as somebodys,
            projecting(store, database) as projector,
        ):
            await fill(store, 2, seed=35)
            await caught_up(store, database)
            async with somebodys.transaction():
                await fill(store, 2, seed=36)
                await until(lambda: "cannot be reached" in caplog.text, "it is kept waiting")
            await caught_up(store, database)
            await projector.ready()
            assert len((await rows_of(database))["tasks"]) == 4


class TestDatabase:
    async def test_of_sqlite_lies_beside_the_store(self, tmp_path):
        """In a file of its own, so that projecting does not hold up an append."""
        async with open_database(f"sqlite:///{tmp_path / 'data' / 'tts.db'}"):
            assert (tmp_path / "data" / "tts.read.db").exists()
            assert not (tmp_path / "data" / "tts.db").exists()

    async def test_answers_while_somebody_writes(self, store, database):
        """A question waits for no transaction."""
        await fill(store, 2, seed=40)
        await project(store, database)
        async with asyncio.timeout(SECONDS), database.transaction():
            page = await TaskQueries(database).page(TaskSelection(), cursor=None, limit=5)
        assert len(page.tasks) == 2

    async def test_shows_one_moment_for_as_long_as_it_takes(self, store, database):
        """And nobody waits for whoever looks at it."""
        await fill(store, 2, seed=41)
        await project(store, database)
        query = f"SELECT count(*) FROM {TASKS.view}"  # noqa: S608 -- a name of ours
        async with asyncio.timeout(SECONDS), database.snapshot() as moment:
            before = await moment.fetch(query)
            await fill(store, 2, seed=42)
            await project(store, database)
            assert await moment.fetch(query) == before == [(2,)]
        assert await database.fetch(query) == [(4,)]

    async def test_answers_while_others_ask_much(self, database):
        """Slow questions hold up no other: what is asked last is answered first."""
        slow = (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) "
            "SELECT count(*) FROM n"
        )
        answered = []

        async def ask(question: str) -> None:
            await database.fetch(question)
            answered.append(question)

        async with asyncio.TaskGroup() as asking:
            for question in (slow, slow, "SELECT 1"):
                asking.create_task(ask(question))
        assert answered == ["SELECT 1", slow, slow]
