"""Tasks whose last events the log has lost: what is still known, what was paid, what is there."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from random import Random
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import StoredEvent

from projections.database import open_database
from projections.task_queries import TaskQueries
from projections.tasks import TasksProjection
from projections.usage import UsageProjection
from tests.builders import application
from tests.histories import live, new_task, stored
from tests.integration.gateway.gateway_under_test import running, speak
from tests.read_models import caught_up, project, projecting
from tests.services.stores import Backend
from tests.waiting import until
from tests.world import World
from tts.application.tasks import Application, TaskNotFound
from tts.domain.task import Task
from tts.domain.values import Status

SLOW = 30.0  # seconds of a prediction that ends when the test says so


@pytest.fixture
async def world(world):
    await world.behave(predict_seconds=SLOW)
    return world


def forget(path: Path, task_id: UUID, *, after: int) -> None:
    """The log loses every event of the task but its first ones."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "DELETE FROM stored_events WHERE originator_id = ? AND originator_version > ?",
            (task_id.hex, after),
        )


async def versions(world: World, task: Task) -> list[int]:
    return [event.version for event in await world.store.events(task.id)]


@pytest.mark.parametrize("left", [1, 2, 3, 4])
async def test_a_worker_appends_again_what_the_log_has_lost(world, tmp_path, left):
    """It knows what was paid for; the history has no holes and says each thing once.

    With the request alone left it does not know enough: it stops, and the task begins anew with the
    prediction that there is.
    """
    async with world.working():
        task = await world.request()
        await world.reached(task, Status.PREDICTION_CREATED)
        forget(tmp_path / "tts.db", task.id, after=left)
        world.replicate_ahead = 2 * SLOW
        task = await world.ended(task)
    assert task.status is Status.SUCCEEDED
    assert await world.creations() == 1
    history = await versions(world, task)
    assert history == list(range(1, len(history) + 1))


async def test_what_a_dead_worker_paid_for_is_found_again(world, tmp_path):
    """Intent and prediction are lost with it; Replicate's list has it."""
    async with world.working():
        task = await world.request()
        await world.reached(task, Status.PREDICTION_CREATED)
    seen = await world.store.position()
    forget(tmp_path / "tts.db", task.id, after=3)
    await world.store.position(seen)
    world.replicate_ahead = 2 * SLOW
    task = await world.taken_over(task)
    assert task.status is Status.SUCCEEDED
    assert await world.creations() == 1


async def test_a_worker_whose_task_another_has_taken_stops(world, tmp_path):
    """The log went back, and on another way: the other one's events stand alone."""
    async with world.working() as processor:
        task = await world.request()
        await world.reached(task, Status.PREDICTION_CREATED)
        forget(tmp_path / "tts.db", task.id, after=2)
        task, _ = await world.application.change(
            task.id, lambda task: task.claim(worker="other", now=world.application.now())
        )
        assert task.lease == 1  # as its own was
        world.replicate_ahead = 2 * SLOW
        await until(lambda: processor.busy == 0, "it stops")
    task, _ = await world.application.load(task.id)
    assert (task.version, task.worker) == (3, "other")


# --- histories with holes, from before they were refused


async def broken(backend: Backend, application: Application, task: Task, *, missing: str) -> None:
    for event in stored(task):
        await application.store.append([event])
    backend.sql(
        f"DELETE FROM stored_events WHERE originator_version IN ({missing}) RETURNING 1"  # noqa: S608
    )


async def test_a_task_with_holes_says_what_is_there(tmp_path):
    """Over HTTP, too: its status, its timeline, its stream; and it can be canceled."""
    async with running(tmp_path) as its:
        task_id = await its.post()
        await speak(its.application, task_id)
        Backend(its.settings.store_url).sql(
            "DELETE FROM stored_events WHERE originator_version IN (3, 4, 5) RETURNING 1"
        )
        answer = await its.client.get(f"/api/tts/task/{task_id}")
        assert (answer.status_code, answer.json()["data"]["status"]) == (200, "succeeded")
        events = await its.client.get(f"/api/tts/task/{task_id}/events")
        assert [e["status"] for e in events.json()["data"]["events"]][:3] == [
            "starting",
            "queued",
            "downloading",
        ]
        async with its.stream(f"taskId={task_id}") as reader:
            assert len(await reader.updates(5)) == 5


async def test_a_task_whose_request_is_lost_is_none(store, database, backend):
    """It is in no list, stops no read model, and nobody is told of it."""
    its = application(store)
    random = Random(1)
    task = live(new_task(random), random, steps=20)
    await broken(backend, its, task, missing="1")
    other = new_task(random)
    await store.append(stored(other))
    with pytest.raises(TaskNotFound):
        await its.load(task.id)
    for projection in (TasksProjection(), UsageProjection()):
        await project(store, database, projection)
    assert sum((await TaskQueries(database).counts()).values()) == 1


async def test_read_models_that_have_what_is_lost_are_made_anew(tmp_path):
    """As when an older copy of the store's file is restored beside them: both agree again."""
    backend = Backend(f"sqlite:///{tmp_path / 'tts.db'}")
    random = Random(2)
    async with backend.store() as store, open_database(backend.url) as database:
        for _ in range(3):
            await store.append(stored(live(new_task(random), random, steps=9)))
        await project(store, database)
        before = await rows(database)
    copy = backend.path.read_bytes()
    async with backend.store() as store, open_database(backend.url) as database:
        for _ in range(4):
            await store.append(stored(live(new_task(random), random, steps=9)))
        await project(store, database)
        assert len(await rows(database)) == 7
    backend.path.write_bytes(copy)
    async with backend.store() as store, open_database(backend.url) as database:
        async with projecting(store, database, TasksProjection()) as projector:
            await until_made(store, database, before)
            await store.append([requested(uuid4())])
            await caught_up(store, database)
            assert len(await rows(database)) == 4
            await projector.ready()
        assert sum((await TaskQueries(database).counts()).values()) == 4


def requested(task_id: UUID) -> StoredEvent:
    (event,) = stored(new_task(Random(task_id.int)))
    return event


async def rows(database) -> list[tuple]:
    return await database.fetch("SELECT * FROM read_tasks ORDER BY task_id")


async def until_made(store, database, expected) -> None:
    async def same() -> bool:
        return await rows(database) == expected

    await until(same, "the rows are those of before")
