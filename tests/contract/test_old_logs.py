"""Logs that earlier versions wrote stay readable, and their tasks go on."""

from __future__ import annotations

import asyncio
import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from eventsourcing import application as library
from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import get_topic

from projections.database import open_database
from projections.dead_letter_queries import DeadLetterQueries
from projections.dead_letters import DeadLettersProjection
from tests import builders
from tests.histories import MAPPER
from tests.read_models import project
from tests.services.stores import Backend, Store
from tts.application.dead_letters import Selection
from tts.application.tasks import Application, IdempotencyMismatch
from tts.domain.naming import hash_payload
from tts.domain.task import Task
from tts.domain.values import FINAL, Status
from tts.ports.log import Recorded
from tts.wire import dead_letter, task_answer, task_update, timeline

LOG = Path(__file__).parents[1] / "logs" / "before_the_house"
EXPECTED: dict[str, Any] = json.loads((LOG / "expected.json").read_text())
ANSWERS = {UUID(name): task["task_answer"] for name, task in EXPECTED["tasks"].items()}


class Plain(library.Application[UUID]):
    """On PostgreSQL the library names the table after the application: ``stored_events``."""

    name = "stored"


class Emptied:
    """An audio store that only remembers what was to be deleted."""

    def __init__(self) -> None:
        self.deleted: set[str] = set()

    async def delete(self, key: str) -> None:
        """See :class:`tts.ports.AudioStore`."""
        self.deleted.add(key)


@pytest.fixture
def old(backend: Backend) -> Backend:
    """A database as the earlier version left it."""
    if backend.is_sqlite:
        shutil.copy(LOG / "tts.db", backend.path)
    else:
        with psycopg.connect(backend.url, autocommit=True) as connection:
            connection.execute((LOG / "dump.sql").read_text())
    return backend


@pytest.fixture
async def store(old: Backend):
    async with old.store() as store:
        yield store


@pytest.fixture
def application(store: Store) -> Application:
    return builders.application(store)


def link(key: str) -> str:
    return f"http://audio.test/{key}"


def in_status(*statuses: Status) -> list[UUID]:
    return [task_id for task_id, answer in ANSWERS.items() if answer["status"] in statuses]


def the_failed_one(code: str) -> UUID:
    (task_id,) = (i for i in in_status(Status.FAILED) if ANSWERS[i]["code"] == code)
    return task_id


def by_now(update: dict[str, Any]) -> dict[str, Any]:
    """What is said of audio today, which was always WAV then."""
    return {**update, "format": "wav"} if "audioUrl" in update else update


async def newest(store: Store, task_id: UUID) -> Recorded:
    return (await store.events(task_id))[-1]


# --- reading


async def test_every_event_is_as_it_was_written(store):
    """Positions, topics, versions and states, byte for byte."""
    assert [
        {
            "position": event.position,
            "task_id": str(event.task_id),
            "version": event.version,
            "topic": event.topic,
            "state": event.state.decode(),
        }
        for event in await store.read(0, 10_000)
    ] == [{k: v for k, v in event.items() if k != "task_update"} for event in EXPECTED["events"]]


async def test_every_update_is_told_as_it_was(store):
    """Who resumes a stream behind an old event sees what others saw then, old codes included."""
    updates = [task_update(event, link) for event in await store.read(0, 10_000)]
    assert updates == [by_now(event["task_update"]) for event in EXPECTED["events"]]


@pytest.mark.parametrize("task_id", ANSWERS, ids=str)
async def test_every_task_is_as_it_was(store, application, task_id):
    """Its answer, its timeline, and its dead letter if it failed."""
    events = await store.events(task_id)
    task, position = await application.load(task_id)
    payload = await store.payload(task_id)
    seen = {
        "task_answer": task_answer(
            task, position, (payload.text, payload.instruction) if payload else None, link
        ),
        "timeline": timeline(events, link),
    }
    if task.status is Status.FAILED:
        seen["dead_letter"] = dead_letter(task, events)
    expected = deepcopy(EXPECTED["tasks"][str(task_id)])
    expected["task_answer"]["format"] = "wav"
    expected["timeline"]["events"] = [
        by_now(event) | {"templateId": task.template_id} for event in expected["timeline"]["events"]
    ]
    assert seen == expected


async def test_an_event_that_is_made_anew_is_stored_alike(store):
    """Byte for byte: its topic and its fields, their order and their forms have not changed."""
    for event in await store.read(0, 10_000):
        stored = StoredEvent(event.task_id, event.version, event.topic, event.state)
        read = MAPPER.to_domain_event(stored)
        made = type(read)(**vars(read))  # reading alone asks no event for its fields
        assert MAPPER.to_stored_event(made) == stored


async def test_a_task_has_the_topic_it_had(store):
    """It stands in the first event of every task."""
    firsts = await store.read(0, 10_000, topics=[Task.Requested.TOPIC])
    assert len(firsts) == len(ANSWERS)
    for event in firsts:
        assert json.loads(event.state)["originator_topic"] == get_topic(Task)


async def test_what_was_said_is_known_by_its_fingerprint(store, application):
    """A task that still has to be spoken would else fail as altered."""
    payloads = 0
    for task_id in ANSWERS:
        task, _ = await application.load(task_id)
        if (payload := await store.payload(task_id)) is not None:
            assert hash_payload(payload.text, payload.instruction, payload.salt) == task.text_hash
            payloads += 1
    assert payloads == len(ANSWERS) - 2  # two are erased


async def test_checkpoints_are_kept(store):
    """The relay goes on where it was, and does not begin at the start of a long log."""
    kept = {name: await store.checkpoint(name) for name in EXPECTED["checkpoints"]}
    assert kept == EXPECTED["checkpoints"]


async def test_a_plain_eventsourcing_application_reads_every_task(old, application):
    """The library's own application sees each of them as we do."""
    ours = [(await application.load(task_id))[0] for task_id in ANSWERS]

    def plainly() -> list[Task]:
        plain = Plain(env=old.environment())
        try:
            return [plain.repository.get(task_id) for task_id in ANSWERS]
        finally:
            plain.close()

    assert await asyncio.to_thread(plainly) == ours


# --- going on


async def test_a_failed_task_is_retried_and_succeeds(store, application):
    """What was paid for and downloaded before is stored at last, behind everything that was."""
    task_id = the_failed_one("store_rejected")
    before, last = await newest(store, task_id), await store.position()
    task, position = await application.retry(task_id, by="ann", reason="mended")
    assert (task.status, task.version) == (Status.RETRYING, before.version + 1)
    assert position > last
    await application.mark_queued(task_id, task.version, task.attempt)
    await application.change(task_id, lambda t: t.claim(worker="w1", now=application.now()))
    task, position = await application.change(
        task_id,
        lambda t: t.succeed(
            lease=t.lease, object_key="audio.wav", size=1, duration=1.0, now=application.now()
        ),
    )
    assert (task.status, task.version) == (Status.SUCCEEDED, before.version + 4)
    event = await newest(store, task_id)
    assert (event.position, event.topic) == (position, Task.Succeeded.TOPIC)


async def test_a_dismissed_task_is_retried(application):
    """It is no dead letter, but it has still failed."""
    task, _ = await application.retry(the_failed_one("deadline_exceeded"), by="ann", reason="again")
    assert (task.status, task.dismissed_at) == (Status.RETRYING, None)


@pytest.mark.parametrize("task_id", in_status(*set(Status) - FINAL), ids=str)
async def test_an_unfinished_task_is_claimed_and_canceled(store, application, task_id):
    """A processor takes it over from the one that had it, under a higher lease."""
    before, _ = await application.load(task_id)
    task, _ = await application.change(
        task_id, lambda t: t.claim(worker="w1", now=application.now())
    )
    assert task.lease == before.lease + 1
    await application.cancel(task_id, by="ann", reason="enough")
    task, position = await application.load(task_id)
    assert task.cancel_requested
    assert (await newest(store, task_id)).position == position == await store.position()


@pytest.mark.parametrize("task_id", in_status(Status.SUCCEEDED), ids=str)
async def test_an_old_task_is_erased_with_its_audio(store, application, task_id):
    """Objects are looked for where the old version put them, and the words are gone."""
    states = [json.loads(event.state) for event in await store.events(task_id)]
    audio = Emptied()
    await application.erase(task_id, audio, by="ann")
    kept = {state.get("object_key") or state.get("part") for state in states} - {None}
    assert audio.deleted == kept
    assert await store.payload(task_id) is None


async def test_an_old_idempotency_key_still_stands_for_its_task(store, application):
    """The same request gets the old task, and another one is refused."""
    before = [(await application.load(task_id))[0] for task_id in ANSWERS]
    with_a_key = [task for task in before if task.idempotency_key is not None]
    last = await store.position()
    assert {task.owner for task in with_a_key} == {"", "shop"}
    for task in with_a_key:
        payload = await store.payload(task.id)
        request = {
            "template_id": task.template_id,
            "instruction": payload.instruction,
            "owner": task.owner,
            "idempotency_key": task.idempotency_key,
        }
        again, _ = await application.request(text=payload.text, **request)
        assert again == (task.id, task.version)
        with pytest.raises(IdempotencyMismatch):
            await application.request(text="别的", **request)
    assert await store.position() == last


async def test_a_dead_letter_is_found_by_the_code_that_it_failed_with(old, store):
    """A code that is called otherwise by now still selects what was written with it."""
    async with open_database(old.url) as database:
        await project(store, database, DeadLettersProjection())
        selection = Selection(code="store_rejected", step="store")
        letters = await DeadLetterQueries(database).page(selection, cursor=None, limit=10)
    assert [letter.task_id for letter in letters] == [the_failed_one("store_rejected")]
