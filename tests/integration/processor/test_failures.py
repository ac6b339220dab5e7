"""The table "step x failure": what becomes of a task, row by row, through the real adapters.

Each row says which statuses the task has, which failures the log names, how many attempts and how
many predictions it takes, and whether it ends as a dead letter. Bad requests never become a task:
``test_gateway.py`` has those.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import orjson
import pytest

from tests.services.ports import free_port
from tests.services.scripted_http import Reply, ScriptedHttp
from tests.waiting import until
from tests.world import PATIENCE, VERSION, World, open_world
from tts.audio.minio import MinioAudio
from tts.domain import retry
from tts.domain.task import Task
from tts.domain.values import Status
from tts.gate import storing
from tts.processor import polling, settlement
from tts.replicate import output
from tts.replicate.predictions import ReplicatePredictions
from tts.sandbox import delivery
from tts.templates import HttpTemplates

BEGIN = "starting queued dequeued"
AGAIN = "waiting_retry retrying"
TO_PREDICTION = "processing prediction_created"
TO_OUTPUT = f"{TO_PREDICTION} downloading"
END = "download_complete succeeded"
THE_WAY = f"{BEGIN} {TO_OUTPUT} {END}"
NO_VOICE = f"{BEGIN} failed"
INTERRUPTED = "Prediction interrupted; please retry (code: PA)"
DEADLINE = timedelta(minutes=2)  # after which that of a task is over
HOUR = 3600.0  # for which Replicate keeps an output


@dataclass(frozen=True)
class Row:
    """What is to become of a task; ``failures`` are ``code@step`` as the log has them in turn."""

    statuses: str
    failures: Sequence[str] = ()
    attempts: int = 1
    creations: int = 1
    faults: Sequence[dict] = ()
    template: str = "template1"


THROTTLED = {"status": 429, "detail": "Too many."}  # Replicate's own words ask for five seconds


def fault(route: str, name: str, *, count: int | None = None, nth: int | None = None, **args):
    """A rule for the sandbox."""
    rule = {"route": route, "fault": name, "args": args, "count": count, "nth": nth}
    return {key: value for key, value in rule.items() if value is not None}


def no_voice(code: str, *faults: dict, template: str = "template1") -> Row:
    """The template is refused for good."""
    return Row(NO_VOICE, [f"{code}@template"], creations=0, faults=faults, template=template)


def late_voice(*faults: dict) -> Row:
    """The template comes later."""
    way = f"{BEGIN} {AGAIN} {TO_OUTPUT} {END}"
    return Row(way, ["template_unavailable@template"], faults=faults)


def refused(code: str, *faults: dict) -> Row:
    """The creation is refused for good."""
    return Row(f"{BEGIN} processing failed", [f"{code}@create"], creations=0, faults=faults)


def created_later(failure: str, *faults: dict) -> Row:
    """Nothing was created at first."""
    way = f"{BEGIN} processing {AGAIN} {TO_OUTPUT} {END}"
    return Row(way, [failure], faults=faults)


def polled_later(failure: str, *faults: dict, attempts: int) -> Row:
    """The same prediction is read in a later round."""
    way = f"{BEGIN} {TO_PREDICTION} {AGAIN} downloading {END}"
    return Row(way, [failure], attempts=attempts, faults=faults)


def made_anew(failure: str, *faults: dict, first: str = TO_PREDICTION) -> Row:
    """A second prediction takes the place of the first."""
    way = f"{BEGIN} {first} {AGAIN} {TO_OUTPUT} {END}"
    return Row(way, [failure], attempts=2, creations=2, faults=faults)


def downloaded_later(*faults: dict) -> Row:
    """The output comes later."""
    way = f"{BEGIN} {TO_OUTPUT} {AGAIN} {END}"
    return Row(way, ["output_unavailable@download"], faults=faults)


TEMPLATE = {
    "404": no_voice("template_not_found", template="missing1"),
    **{
        str(status): no_voice(code, fault("template_transcript", "status", status=status))
        for status, code in (
            (410, "template_not_found"),
            (401, "template_forbidden"),
            (403, "template_forbidden"),
        )
    },
    "audio 404": no_voice("template_not_found", fault("template_audio", "status", status=404)),
    **{
        str(status): late_voice(fault("template_transcript", "status", status=status, count=1))
        for status in (429, 500, 503)
    },
    "timeout": late_voice(fault("template_audio", "hang_before", count=1)),
    # A GET whose connection breaks is repeated once by the HTTP client: it may have been idle.
    "reset": late_voice(fault("template_transcript", "reset_before", count=2)),
    "redirect to a private host": no_voice(
        "template_redirect", fault("template_transcript", "redirect")
    ),
    "redirect to another host": no_voice(
        "template_redirect",
        fault("template_audio", "redirect", location="http://voices.example.com/a.mp3"),
    ),
}
TRANSCRIPT = {
    "with a BOM": Row(THE_WAY, template="bom"),
    **{
        name: no_voice("template_transcript", fault("template_transcript", name, **args))
        for name, args in (
            ("not_utf8", {}),
            ("empty", {}),
            ("html", {}),
            ("padded", {"size": 100_000}),
            ("document", {}),
            ("xml", {"status": 200}),
            ("nul", {}),
            ("partial", {}),
            ("bomb", {"layers": 2, "size": 30_000_000}),
        )
    },
}
REFERENCE_AUDIO = {
    name: no_voice("template_audio", fault("template_audio", name, **args))
    for name, args in (("html", {}), ("empty", {}), ("padded", {"size": 50_000_001}))
}
CREATE = {
    "400": refused("invalid_input", fault("create", "status", status=400)),
    "422 input": refused("invalid_input", fault("create", "status", status=422)),
    **{
        name: created_later(f"{code}@create", fault("create", kind, count=1, **args))
        for name, code, kind, args in (
            ("422 version", "replicate_version_refused", "invalid_version", {}),
            ("404", "replicate_model_missing", "status", {"status": 404}),
            ("401", "replicate_unauthorized", "status", {"status": 401}),
            ("403", "replicate_forbidden", "status", {"status": 403}),
            ("402", "replicate_payment_required", "status", {"status": 402}),
            ("429", "replicate_throttled", "status", THROTTLED),
        )
    },
    **{
        f"{name}, not created": created_later(
            f"{code}@create", fault("create", kind, count=1, **args)
        )
        for name, code, kind, args in (
            ("timeout", "create_ambiguous", "hang_before", {}),
            ("reset", "create_ambiguous", "reset_before", {}),
            ("500", "create_failed", "status", {"status": 500}),
            ("503", "create_failed", "status", {"status": 503}),
            ("502", "create_ambiguous", "status", {"status": 502}),
            ("503 of a proxy", "create_ambiguous", "html", {"status": 503}),
            ("HTML", "create_ambiguous", "html", {}),
        )
    },
    **{
        f"{name}, created": Row(THE_WAY, faults=[fault("create", name, count=1)])
        for name in ("reset_after", "hang_after", "malformed", "array", "empty", "truncated")
    },
    "failed by its own words, created": Row(
        THE_WAY, faults=[fault("create", "failed_after", count=1)]
    ),
    "reply lost, list away": Row(
        f"{BEGIN} processing {AGAIN} prediction_created downloading {END}",
        ["replicate_unavailable@find"],
        faults=[
            fault("create", "reset_after", count=1),
            fault("list", "status", status=503, count=1),
        ],
    ),
    "reply lost, list throttled": Row(
        f"{BEGIN} processing {AGAIN} prediction_created downloading {END}",
        ["replicate_throttled@find"],
        faults=[
            fault("create", "reset_after", count=1),
            fault("list", "status", **THROTTLED, count=1),
        ],
    ),
}
POLL = {
    **{
        f"{name}, once": Row(THE_WAY, faults=[fault("get", kind, count=1, **args)])
        for name, kind, args in (
            ("429", "status", THROTTLED),
            ("500", "status", {"status": 500}),
            ("503", "status", {"status": 503}),
            ("timeout", "hang_before", {}),
            ("reset", "reset_before", {}),
            ("unreadable", "malformed", {}),
            ("array", "array", {}),
        )
    },
    **{
        f"{name}, for long": polled_later(
            f"{code}@poll", fault("get", kind, count=3, **args), attempts=attempts
        )
        for name, code, kind, args, attempts in (
            ("429", "replicate_throttled", "status", THROTTLED, 1),
            ("500", "replicate_unavailable", "status", {"status": 500}, 1),
            ("unreadable", "replicate_unreadable", "malformed", {}, 2),
        )
    },
    "401": polled_later(
        "replicate_unauthorized@poll", fault("get", "status", status=401, count=1), attempts=1
    ),
    "404": made_anew("prediction_lost@poll", fault("get", "status", status=404, count=1)),
    "unknown status": Row(
        f"{BEGIN} {TO_PREDICTION} {AGAIN} {AGAIN} failed",
        ["replicate_unreadable@poll"] * 3,
        attempts=3,
        faults=[fault("prediction", "unknown_status")],
    ),
}
RESULT = {
    **{
        text: made_anew(
            "prediction_interrupted@poll", fault("prediction", "failed", error=text, count=1)
        )
        for text in (
            INTERRUPTED,
            "Director: unexpected error handling prediction (E9828)",
            *(f"Failed ({code})" for code in ("E1000", "E6716", "E8367", "E8765", "E9243")),
            "Failed (E9825)",
        )
    },
    "interrupted again and again": Row(
        f"{BEGIN} {TO_PREDICTION} {AGAIN} {TO_PREDICTION} {AGAIN} {TO_PREDICTION} failed",
        ["prediction_interrupted@poll"] * 3,
        attempts=3,
        creations=3,
        faults=[fault("prediction", "failed", error=INTERRUPTED)],
    ),
    **{
        text: Row(
            f"{BEGIN} {TO_PREDICTION} failed",
            ["prediction_failed@poll"],
            faults=[fault("prediction", "failed", error=text)],
        )
        for text in ("AssertionError", "ValueError: 512 is too much", "something else")
    },
    **{
        text: made_anew(f"{code}@poll", fault("prediction", "failed", error=text, count=1))
        for code, text in (
            ("prediction_crowded_out", "Service is unavailable due to high demand. (E003)"),
            ("prediction_crowded_out", "CUDA out of memory. Tried to allocate 2.00 GiB"),
            ("prediction_crowded_out", "Broken (E1001)"),
            ("prediction_inputs", "HTTPSConnectionPool(host='h', port=443): Read timed out."),
            ("prediction_inputs", "503 Server Error: Service Unavailable for url: https://h/a"),
            ("prediction_inputs", "Connection aborted.', ConnectionResetError(104)"),
        )
    },
    **{
        name: made_anew("prediction_canceled@poll", fault("prediction", name, count=1))
        for name in ("canceled", "aborted")
    },
    "output null": made_anew("prediction_empty@poll", fault("prediction", "output_null", count=1)),
    "data removed": made_anew(
        "prediction_expired@poll", fault("prediction", "data_removed", count=1)
    ),
    **{
        f"{name} {args or ''}": Row(THE_WAY, faults=[fault("prediction", name, **args)])
        for name, args in (
            ("output_list", {}),
            ("output_several", {"parts": 2}),
            ("output_object", {}),
            ("output_data_uri", {}),
            ("output_data_uri", {"lines": True}),
            ("output_data_uri", {"padded": False, "url_safe": True}),
        )
    },
    "a bomb": Row(THE_WAY, faults=[fault("get", "bomb", size=30_000_000, count=1)]),
}
DOWNLOAD = {
    **{
        name: downloaded_later(fault("delivery", kind, count=1, **args))
        for name, kind, args in (
            ("429", "status", THROTTLED),
            ("500", "status", {"status": 500}),
            ("503", "status", {"status": 503}),
            ("timeout", "hang_before", {}),
            ("truncated", "truncated", {}),
        )
    },
    "404": made_anew(
        "output_missing@download",
        fault("delivery", "status", status=404, count=1),
        first=TO_OUTPUT,
    ),
    "400, once": Row(THE_WAY, faults=[fault("delivery", "status", status=400, count=1)]),
    "a page, once": Row(THE_WAY, faults=[fault("delivery", "html", count=1)]),
    "400, twice": made_anew(
        "output_broken@download",
        fault("delivery", "status", status=400, count=2),
        first=TO_OUTPUT,
    ),
    "a page, for ever": Row(
        f"{BEGIN} {TO_OUTPUT} {AGAIN} {TO_OUTPUT} failed",
        ["output_broken@download"] * 2,
        attempts=2,
        creations=2,
        faults=[fault("delivery", "html")],
    ),
    "cut, once": Row(THE_WAY, faults=[fault("delivery", "cut", count=1)]),
    "ExpiredToken, twice": made_anew(
        "output_broken@download", fault("delivery", "xml", count=2), first=TO_OUTPUT
    ),
    "inside": Row(
        f"{BEGIN} {TO_OUTPUT} failed",
        ["output_refused@download"],
        faults=[fault("prediction", "output_at", url="http://169.254.169.254/latest/meta-data/")],
    ),
    "with credentials": Row(
        f"{BEGIN} {TO_OUTPUT} failed",
        ["output_refused@download"],
        faults=[fault("prediction", "output_at", url="https://user:pw@replicate.delivery/o.wav")],
    ),
    "compressed": Row(
        f"{BEGIN} {TO_OUTPUT} failed",
        ["output_refused@download"],
        faults=[fault("delivery", "bomb", size=30_000_000)],
    ),
    "not audio": Row(
        f"{BEGIN} {TO_OUTPUT} failed",
        ["not_audio@download"],
        faults=[fault("delivery", "not_utf8")],
    ),
    "over the cap": Row(
        f"{BEGIN} {TO_OUTPUT} failed",
        ["output_refused@download"],
        faults=[fault("delivery", "padded", size=10_000_001)],
    ),
    "mislabelled": Row(THE_WAY, faults=[fault("delivery", "wrong_type")]),
}
ROWS = {
    f"{step}: {name}": row
    for step, rows in (
        ("template", TEMPLATE),
        ("transcript", TRANSCRIPT),
        ("audio", REFERENCE_AUDIO),
        ("create", CREATE),
        ("poll", POLL),
        ("result", RESULT),
        ("download", DOWNLOAD),
    )
    for name, row in rows.items()
}


@pytest.fixture
def hanging(request: pytest.FixtureRequest) -> set[str]:
    """The routes that do not answer in the test's row."""
    row = getattr(request.node, "callspec", None) and request.node.callspec.params.get("row")
    return {rule["route"] for rule in row.faults if "hang" in rule["fault"]} if row else set()


@pytest.fixture
async def world(tmp_path, monkeypatch, hanging) -> AsyncIterator[World]:
    monkeypatch.setattr(polling, "POLL_FAILURES", 2)
    monkeypatch.setattr(retry, "PAUSE_SECONDS", (0.1, 0.1))
    monkeypatch.setattr(storing, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(output, "AGAIN_SECONDS", 0.1)
    async with open_world(tmp_path, monkeypatch, hanging=hanging) as world:
        world.change(retry_multiplier=1, retry_max_interval_ms=100)
        yield world


async def become(world: World, task: Task, row: Row) -> Task:
    """Work the task off and hold what became of it against the row."""
    async with world.working():
        task = await world.ended(task)
        await holds(world, task, row)
    return task


async def holds(world: World, task: Task, row: Row) -> None:
    """Everything that the row says is so, dead letter included."""
    assert " ".join(await world.statuses(task)) == row.statuses
    events = await world.store.events(task.id)
    failed = [
        orjson.loads(event.state)
        for event in events
        if event.topic in {Task.RetryScheduled.TOPIC, Task.Failed.TOPIC}
    ]
    assert [f"{state['code']}@{state['step']}" for state in failed] == list(row.failures)
    assert task.attempt == row.attempts
    assert await world.creations() == row.creations
    if task.status is not Status.FAILED:
        assert not world.queue.dead_letters
        return
    await until(lambda: world.queue.dead_letters, "it is a dead letter")
    (letter,) = world.queue.dead_letters
    assert letter.task_id == task.id
    assert f"{letter.headers['code']}@{letter.headers['step']}" == row.failures[-1]


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_each_failure_has_its_treatment(world, row):
    """Statuses, failures, attempts, predictions paid for and dead letter are as the row says."""
    for rule in row.faults:
        await world.inject(rule)
    await become(world, await world.request(template=row.template), row)


# --- what the sandbox cannot do


@asynccontextmanager
async def elsewhere(world: World, url: str) -> AsyncIterator[None]:
    """Predictions are asked for at ``url``."""
    used = world.predictions
    world.predictions = ReplicatePredictions(
        token="any",  # noqa: S106 -- nobody is there
        base_url=url,
        model_version=VERSION,
        timeout=PATIENCE,
        max_bytes=10**7,
    )
    try:
        yield
    finally:
        await world.predictions.aclose()
        world.predictions = used


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_create_without_a_connection_is_safe_to_repeat(world, host):
    """Nothing left this machine: no list is looked at, and no attempt is used up."""
    async with elsewhere(world, f"http://{host}:{free_port()}"), world.working():
        task = await world.request()
        await until_failed(world, task, "replicate_unreachable@create", times=4)


async def test_template_without_a_connection_is_transient(world):
    """The host of the voices may be away for long."""
    await world.templates.aclose()
    world.templates = HttpTemplates(f"http://127.0.0.1:{free_port()}", cache_seconds=0)
    async with world.working():
        await until_failed(world, await world.request(), "template_unavailable@template", times=4)


async def test_template_refusals_are_remembered_and_asked_for_once(world):
    """The second task within a minute fails without a request."""
    async with world.working():
        for _ in range(2):
            task = await world.ended(await world.request(template="missing1"))
            assert (task.status, task.error.code) == (Status.FAILED, "template_not_found")
    assert (await world.stats())["calls"]["template_transcript"] == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_template_retry_after_is_honoured(world, status):
    """The host says when to come back, and the task waits as long."""
    await world.inject(
        fault("template_transcript", "status", status=status, retry_after=1, count=1)
    )
    task = await become(world, await world.request(), late_voice())
    assert await _waited(world, task) >= 1


async def test_create_429_waits_as_long_as_replicate_asks(world):
    """And no attempt is used up by it."""
    await world.inject(fault("create", "status", **THROTTLED, retry_after_field=1, count=2))
    way = f"{BEGIN} processing {AGAIN} processing {AGAIN} {TO_OUTPUT} {END}"
    row = Row(way, ["replicate_throttled@create"] * 2)
    task = await become(world, await world.request(), row)
    assert await _waited(world, task) >= 1


async def test_create_refused_by_replicate_itself_waits_for_the_list_alone(world, monkeypatch):
    """Nothing is under way any more, so the long doubt of a lost reply does not apply."""
    monkeypatch.setattr(settlement, "INTENT_FRESH", timedelta(minutes=1))
    await world.inject(fault("create", "status", status=503, count=1))
    row = created_later("create_failed@create")
    async with asyncio.timeout(40):  # less than that minute
        await become(world, await world.request(), row)


async def test_create_whose_reply_is_lost_in_a_crowd_is_found(world):
    """However many predictions others made meanwhile, ours is paid for once."""
    world.change(retry_initial_interval_ms=2000, retry_max_interval_ms=2000)
    await world.inject(fault("create", "reset_after", count=1))
    await world.inject(fault("list", "status", status=503, count=1))
    async with world.working():
        task = await world.request()
        await world.reached(task, Status.WAITING_RETRY)
        await world.crowd(5000)
        row = Row(
            f"{BEGIN} processing {AGAIN} prediction_created downloading {END}",
            ["replicate_unavailable@find"],
        )
        await holds(world, await world.ended(task), row)


async def test_result_after_our_own_deadline_is_a_failure_and_what_runs_is_stopped(world):
    """A prediction that never ends costs no more than the deadline allows."""
    await world.inject(fault("prediction", "stuck"))
    row = Row(f"{BEGIN} {TO_PREDICTION} failed", ["deadline_exceeded@deadline"])
    async with world.working():
        task = await world.request()
        await world.reached(task, Status.PREDICTION_CREATED)
        world.ahead = DEADLINE
        task = await world.ended(task)
        await holds(world, task, row)
    assert (await world.predictions.get(task.segments[0].prediction_id)).state == "canceled"


async def test_result_that_came_just_before_our_deadline_is_delivered(world):
    """The prediction is read once more, and what is paid for is not thrown away."""
    await world.behave(predict_seconds=30)
    async with world.working():
        task = await world.request()
        await world.reached(task, Status.PREDICTION_CREATED)
        world.ahead, world.replicate_ahead = DEADLINE, 60.0
        await holds(world, await world.ended(task), Row(THE_WAY))


async def test_download_404_of_an_output_that_has_expired_makes_one_new(world, monkeypatch):
    """The prediction is read again, which says that its output is removed."""

    def at_the_door() -> float:
        world.replicate_ahead = 2 * HOUR  # which pass before somebody comes for the first output
        return world.replicate_now()

    monkeypatch.setattr(delivery, "now", at_the_door)
    row = made_anew("prediction_expired@poll", first=TO_OUTPUT)
    await become(world, await world.request(), row)


# --- the audio store


def s3_error(status: int, code: str) -> Reply:
    """An error as S3 writes it."""
    xml = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()
    return Reply(status, xml, {"Content-Type": "application/xml"})


STORED_LATER = f"{BEGIN} {TO_OUTPUT} download_complete {AGAIN} succeeded"
STORE = {
    "SlowDown": (s3_error(503, "SlowDown"), Row(THE_WAY)),
    "500": (s3_error(500, "InternalError"), Row(THE_WAY)),
    "429": (s3_error(429, "TooManyRequests"), Row(THE_WAY)),
    **{
        code: (s3_error(403, code), Row(STORED_LATER, ["audio_refused@audio"]))
        for code in (
            "AccessDenied",
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "RequestTimeTooSkewed",
        )
    },
    "EntityTooLarge": (
        s3_error(400, "EntityTooLarge"),
        Row(f"{BEGIN} {TO_OUTPUT} download_complete failed", ["audio_rejected@audio"]),
    ),
}


@pytest.mark.parametrize(("reply", "row"), STORE.values(), ids=STORE)
async def test_store_failures_repeat_this_step_alone(world, reply, row):
    """The audio waits for a store that is busy; one that refuses us ends the attempt, for free."""
    async with ScriptedHttp() as server:
        task = await world.request()
        # A refusal of the short way is met again on the long one, which repeats a 5xx once.
        failures = [reply] * (3 if reply.status >= 500 else 2)
        stored = Reply(200, headers={"ETag": '"e"'})
        server.on(f"PUT /audio/{task.audio_key}", *failures, stored)
        for look in ("GET", "PUT", "DELETE"):
            server.on(f"{look} /audio/part-*", stored)
        world.audio = bucket(server.url.removeprefix("http://"))
        await become(world, task, row)


async def test_store_makes_a_missing_bucket(world, s3):
    """It costs nothing, on a real server."""
    world.audio = MinioAudio(
        s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, bucket="made-by-a-task"
    )
    await become(world, await world.request(), Row(THE_WAY))


async def until_failed(world: World, task: Task, failure: str, *, times: int) -> None:
    """Return when the log names the failure so often; the task is at its first attempt then."""

    async def named() -> bool:
        states = [orjson.loads(event.state) for event in await world.store.events(task.id)]
        names = [f"{state['code']}@{state['step']}" for state in states if "code" in state]
        return names.count(failure) >= times

    await until(named, f"{failure}, {times} times")
    assert (await world.application.load(task.id))[0].attempt == 1
    assert await world.creations() == 0


def bucket(endpoint: str) -> MinioAudio:
    """A bucket on a server that checks nothing."""
    account = {"access_key": "a", "secret_key": "s"}
    return MinioAudio(endpoint, **account, bucket="audio", presign_seconds=60)


async def _waited(world: World, task: Task) -> float:
    """The shortest time in seconds between the failure of an attempt and the next one."""
    events = await world.store.events(task.id)
    states = [(event.topic, orjson.loads(event.state)["timestamp"]) for event in events]
    seen = [world.application.replay(events[: n + 1]).modified_on for n in range(len(events))]
    waits = [
        seen[n + 1] - seen[n]
        for n, (topic, _) in enumerate(states)
        if topic == Task.RetryScheduled.TOPIC
    ]
    return min(waits, default=timedelta()).total_seconds()
