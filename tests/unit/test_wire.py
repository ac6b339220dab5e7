"""What clients see of the log."""

import dataclasses
import inspect
import re
from random import Random
from typing import get_type_hints
from uuid import uuid4

import orjson
import pytest

from tests.contract import wire_shapes
from tests.histories import START, live, new_task, stored
from tts.domain.task import Task
from tts.domain.values import FINAL, Status
from tts.ports.log import Recorded
from tts.wire import UPDATES, TaskUpdate, task_answer, task_update

CATALOGUE = {
    cls.TOPIC: cls
    for name, cls in vars(Task).items()
    if inspect.isclass(cls)
    and issubclass(cls, Task.Event | Task.Created)
    and name not in {"Event", "Created"}
}
ALWAYS = {"taskId", "status", "timestamp", "position"}


def link(key: str) -> str:
    return f"https://audio.test/{key}"


def update(topic: str, **state) -> dict:
    state = {"timestamp": "2026-01-01T00:00:00+00:00", **state}
    return task_update(Recorded(7, uuid4(), 3, topic, orjson.dumps(state)), link)


def a_life(seed: int) -> tuple[Task, list[Recorded]]:
    random = Random(seed)
    task = live(new_task(random, segments=2), random, steps=40)
    events = stored(task)
    return task, [
        Recorded(n, e.originator_id, e.originator_version, e.topic, e.state)
        for n, e in enumerate(events, 1)
    ]


def test_every_event_of_the_catalogue_has_its_update():
    """No event that a task can have is unknown to the streams, and none is there that it cannot."""
    assert len(CATALOGUE) == 16
    assert set(UPDATES) == set(CATALOGUE)


@pytest.mark.parametrize("cls", CATALOGUE.values())
def test_an_update_names_fields_that_its_event_has(cls):
    """A misspelt field would only fail in front of a client."""
    _, fields = UPDATES[cls.TOPIC]
    assert set(fields) <= {field.name for field in dataclasses.fields(cls)}


@pytest.mark.parametrize("cls", CATALOGUE.values())
def test_an_update_has_the_types_that_are_published(cls):
    """What the table copies is of the type that clients are promised; what may be None may miss."""
    fields = wire_shapes.shape(TaskUpdate, spell=wire_shapes.python)
    hints = get_type_hints(cls)
    for name, wire_name in UPDATES[cls.TOPIC][1].items():
        assert not fields[wire_name].required
        assert wire_shapes.python_hint(hints[name]) - {"None"} == fields[wire_name].types


def test_every_field_that_is_published_is_shown_by_some_event():
    """What no event fills any more is no longer promised."""
    copied = {wire_name for _, fields in UPDATES.values() for wire_name in fields.values()}
    made = {"segment", "audioUrl", "format", "partialAudioUrl", "suspectTruncation", "suspectAudio"}
    made |= {"erased", "dismissed"}
    fields = wire_shapes.shape(TaskUpdate, spell=wire_shapes.python)
    assert fields.keys() == ALWAYS | copied | made
    assert {name for name, field in fields.items() if field.required} == ALWAYS


def test_every_status_is_shown_by_some_event():
    """The original's statuses all occur."""
    assert {status for status, _ in UPDATES.values() if status} == set(Status)


def test_topics_are_explicit_and_short():
    """Moving a class to another file must not orphan the log."""
    for topic in CATALOGUE:
        assert re.fullmatch(r"tts\.task\.[a-z_]+", topic)


@pytest.mark.parametrize("seed", range(30))
def test_every_update_has_its_envelope_and_no_empty_field(seed):
    """Task, status, time and position are always there; what is unknown is left out."""
    task, events = a_life(seed)
    for event in events:
        shown = task_update(event, link)
        assert shown.keys() >= ALWAYS
        assert None not in shown.values()
        assert (shown["taskId"], shown["position"]) == (str(task.id), event.position)
        orjson.dumps(shown)


@pytest.mark.parametrize("seed", range(30))
def test_the_answer_agrees_with_the_last_update(seed):
    """Who polls and who streams see the same status, time, attempt and audio."""
    task, events = a_life(seed)
    shown = task_update(events[-1], link)
    answer = task_answer(task, events[-1].position, ("你好", ""), link)
    assert answer["updatedAt"] == shown["timestamp"]
    for name in ("taskId", "status", "position"):
        assert answer[name] == shown[name]
    for name in ("attempt", "error", "code", "step", "bytes", "retryAt"):
        if name in shown and events[-1].topic != Task.DownloadCompleted.TOPIC:
            assert answer[name] == shown[name]
    if task.status is Status.SUCCEEDED:
        assert answer["audioUrl"] == shown["audioUrl"] == link(f"audio-{task.id}.wav")
    assert (answer["completedAt"] is not None) == (task.status in FINAL)


def test_a_failure_shows_its_reason():
    """The error is a sentence under ``error``, and code and step are for machines."""
    shown = update(
        Task.Failed.TOPIC,
        attempt=5,
        code="invalid_input",
        step="create",
        message="refused",
        permanent=True,
    )
    assert {k: v for k, v in shown.items() if k not in ALWAYS} == {
        "attempt": 5,
        "code": "invalid_input",
        "step": "create",
        "error": "refused",
        "permanent": True,
    }
    assert shown["status"] == "failed"


def test_a_wait_shows_until_when():
    """A client can count down to the retry."""
    shown = update(
        Task.RetryScheduled.TOPIC,
        attempt=2,
        code="replicate_unavailable",
        step="poll",
        message="reset",
        delay=5.0,
        due_at="2026-01-01T00:00:05+00:00",
    )
    assert (shown["retryAt"], shown["delay"]) == ("2026-01-01T00:00:05+00:00", 5.0)


def test_success_shows_a_url_and_no_key():
    """Where audio lies is derived when it is read, so that the place can change."""
    shown = update(
        Task.Succeeded.TOPIC, attempt=1, object_key="a.wav", size=9, duration=None, predict_time=0.5
    )
    assert shown["audioUrl"] == "https://audio.test/a.wav"
    assert "a.wav" not in {v for k, v in shown.items() if k != "audioUrl"}
    assert "duration" not in shown


def test_an_erasure_keeps_the_status():
    """It is no transition: the task shows how it ended, and that its words and audio are gone."""
    shown = update(Task.Erased.TOPIC, by="client", status="failed")
    assert {k: v for k, v in shown.items() if k not in ALWAYS} == {"by": "client", "erased": True}
    assert shown["status"] == "failed"


def test_a_dismissal_keeps_the_status():
    """The task is failed as before; the mark says that nobody has to look at it any more."""
    shown = update(Task.Dismissed.TOPIC, by="ann", reason="a test")
    assert {k: v for k, v in shown.items() if k not in ALWAYS} == {
        "by": "ann",
        "reason": "a test",
        "dismissed": True,
    }
    assert shown["status"] == "failed"


def test_an_update_says_nothing_of_owner_or_upstream():
    """What is in the log for us alone stays there."""
    random = Random(1)
    task = new_task(random, owner="somebody")
    (event,) = stored(task)
    shown = task_update(Recorded(1, event.originator_id, 1, event.topic, event.state), link)
    assert shown.keys() == ALWAYS | {"templateId"}


def test_an_unknown_event_is_an_error():
    """A log from a newer version needs newer readers; nothing is skipped."""
    with pytest.raises(KeyError):
        update("tts.task.from_the_future")


def test_an_answer_has_the_originals_fields():
    """A task without a result has them as null."""
    task = new_task(Random(2))
    answer = task_answer(task, 1, ("你好", "开心地"), link)
    assert answer == {
        "taskId": str(task.id),
        "status": "starting",
        "templateId": "t1",
        "ttsText": "你好",
        "instruction": "开心地",
        "audioUrl": None,
        "createdAt": START.isoformat(),
        "updatedAt": START.isoformat(),
        "completedAt": None,
        "attempt": 1,
        "maxAttempts": 3,
        "priority": "normal",
        "format": "wav",
        "position": 1,
    }


def test_an_erased_text_is_null():
    """The task's story stays when what was said is gone, and says since when."""
    task = new_task(Random(3))
    task.request_cancel(by="ann", reason="enough", now=START)
    task.erase(by="ann", now=START)
    answer = task_answer(task, 1, None, link)
    assert (answer["status"], answer["erasedAt"]) == ("canceled", START.isoformat())
    assert (answer["ttsText"], answer["instruction"]) == (None, None)
