"""How the Python client follows a stream, without a service; and that its two forms agree."""

import asyncio
import inspect
import re
from datetime import datetime

import httpx
import pytest
from httpx_sse import ServerSentEvent, SSEError

from tests.services.scripted_http import Hang, Reply, ScriptedHttp, answer
from tests.waiting import SECONDS
from tts.client import AsyncClient, Task, TTSError, Update, asynchronous, blocking, calls
from tts.client.following import Following, OtherPulse, Pulse

LOST = httpx.ReadError("gone")
TIME = "2025-01-31T12:00:00+00:00"
TASK = {
    "taskId": "t",
    "status": "queued",
    "position": 1,
    "templateId": "t1",
    "attempt": 1,
    "createdAt": TIME,
    "updatedAt": TIME,
}


def pauses(following: Following, count: int) -> list[float]:
    return [following.pause(LOST) for _ in range(count)]


def stream() -> Following:
    return Following([], None, pulse=Pulse(15), seconds=None)


class TestPauses:
    def test_they_double_up_to_a_bound_and_differ_between_clients(self):
        """A gateway that comes back is not trampled down."""
        following = stream()
        for n, pause in enumerate(pauses(following, 10)):
            longest = min(0.5 * 2**n, 15)
            assert longest / 2 <= pause <= longest
        assert len({stream().pause(LOST) for _ in range(5)}) == 5

    def test_they_start_anew_once_connected(self):
        """One bad hour does not make the next reconnection slow."""
        following = stream()
        pauses(following, 8)
        following.accept(ServerSentEvent(event="connected", data='{"position": 7}'))
        assert following.pause(LOST) <= 0.5
        assert following.request()["params"]["lastEventId"] == 7

    def test_the_service_may_ask_for_longer_ones(self):
        """By the stream's retry hint, once, or by Retry-After."""
        following = stream()
        following.accept(ServerSentEvent(retry=40_000))
        assert following.pause() == 40
        assert following.pause() < 2
        busy = TTSError("busy", code="unavailable", status=503, retry_after=50)
        assert following.pause(busy) == 50

    @pytest.mark.parametrize(
        "error",
        [
            TTSError("no key", code="unauthorized", status=401),
            TTSError("no task", code="task_not_found", status=404),
            SSEError("text/html"),
        ],
    )
    def test_what_no_repetition_can_mend_is_raised(self, error):
        """Nobody waits for ever for what cannot come."""
        with pytest.raises(TTSError):
            stream().pause(error)


def test_an_update_that_comes_again_is_dropped():
    """Whatever a proxy or a gateway repeats, nobody sees a status twice."""
    following = stream()
    update = (
        '{"taskId": "t", "status": "queued", "position": %d, '
        '"timestamp": "2025-01-31T12:00:00+00:00"}'
    )
    events = [ServerSentEvent(event="task_update", data=update % n) for n in (1, 2, 2, 1, 3)]
    accepted = [following.accept(event) for event in events]
    assert [update.position for update in accepted if update] == [1, 2, 3]


async def test_a_connection_without_heartbeats_is_given_up():
    """A dead connection can look open for hours; 2.5 intervals are enough."""
    done = (
        b'id: 2\nevent: task_update\ndata: {"taskId": "t", "status": "succeeded", '
        b'"position": 2, "timestamp": "2025-01-31T12:00:01+00:00"}\n\n'
    )
    async with ScriptedHttp() as server:
        server.on("GET /api/tts/task/t", answer({"success": True, "data": TASK}))
        server.on("GET /events", Hang(), Reply(200, done, {"Content-Type": "text/event-stream"}))
        async with AsyncClient(server.url, heartbeat=0.1, trust_env=False) as client:
            statuses = [update.status async for update in client.events("t")]
        assert statuses == ["succeeded"]
        assert len(server.asked("GET /events")) >= 2  # a busy machine gives up the second, too


def test_a_heartbeat_takes_the_cursor_along():
    """If it has an id, which older services do not send; and never back."""
    following = stream()
    following.accept(ServerSentEvent(event="connected", data='{"position": 7}', id="7"))
    for last, position in (("7", 7), ("99", 99), ("12", 99), ("", 99)):
        following.accept(ServerSentEvent(event="heartbeat", data="{}", id=last))
        assert following.request()["params"]["lastEventId"] == position


async def test_the_service_says_how_long_a_silence_is_too_long():
    """The connection is replaced by one with the right patience, and later streams begin so."""
    hello = (
        b'id: 7\nevent: connected\ndata: {"position": 7, "clientId": "c", '
        b'"heartbeatInterval": 100}\n\n'
    )
    update = (
        b'id: 8\nevent: task_update\ndata: {"taskId": "t", "status": "queued", '
        b'"position": 8, "timestamp": "2025-01-31T12:00:01+00:00"}\n\n'
    )
    kind = {"Content-Type": "text/event-stream"}
    async with ScriptedHttp() as server:
        replies = Reply(200, hello, kind), Hang(), Reply(200, hello + update, kind)
        server.on("GET /events", *replies)
        async with AsyncClient(server.url, heartbeat=1000, trust_env=False) as client:
            async with asyncio.timeout(SECONDS):
                assert (await anext(client.events())).position == 8
            asked = server.asked("GET /events")
            assert len(asked) >= 3  # a busy machine gives up the third, too
    pulse = Pulse(15)
    with pytest.raises(OtherPulse):
        Following([], None, pulse=pulse, seconds=None).accept(
            ServerSentEvent(event="connected", data='{"position": 7, "heartbeatInterval": 4000}')
        )
    following = Following([], 7, pulse=pulse, seconds=None)
    assert following.request()["timeout"].read == 10
    assert following.pause(OtherPulse()) == 0


async def test_an_answer_of_somebody_else_is_told_from_none():
    """A proxy's error page is bad_answer with its status; no connection is no_answer."""
    async with ScriptedHttp() as server:
        server.on("GET /api/tts/task/t", Reply(502, b"<html>"))
        async with AsyncClient(server.url, trust_env=False) as client:
            with pytest.raises(TTSError) as proxy:
                await client.task("t")
            assert (proxy.value.code, proxy.value.status) == ("bad_answer", 502)
    async with AsyncClient(server.url, trust_env=False) as client:
        with pytest.raises(TTSError) as absent:
            await client.task("t")
        assert (absent.value.code, absent.value.transient) == ("no_answer", True)


class TestMarks:
    def test_an_erased_task_has_not_succeeded_for_who_waits(self):
        """There is nothing to play any more, and that is said."""
        task = Task.read(TASK | {"status": "succeeded", "audioUrl": None, "erasedAt": TIME})
        assert task.erased_at == datetime.fromisoformat(TIME)
        with pytest.raises(TTSError) as erased:
            calls.succeeded(task)
        assert (erased.value.code, erased.value.task_id) == ("task_erased", "t")

    def test_an_erased_failure_keeps_its_reason(self):
        """Who waits is told why it failed, as before."""
        failed = {"status": "failed", "error": "no such template", "code": "template_not_found"}
        with pytest.raises(TTSError, match="no such template"):
            calls.succeeded(Task.read(TASK | failed | {"erasedAt": TIME}))

    def test_updates_that_keep_the_status_say_what_they_are(self):
        """An erasure is no second success, nor a dismissal a second failure."""
        update = {"taskId": "t", "position": 9, "timestamp": TIME}
        erased = Update.read(update | {"status": "succeeded", "erased": True})
        dismissed = Update.read(update | {"status": "failed", "dismissed": True})
        assert (erased.erased, erased.dismissed) == (True, None)
        assert (dismissed.erased, dismissed.dismissed) == (None, True)
        assert Task.read(TASK | {"dismissedAt": TIME}).dismissed_at is not None


def test_the_blocking_client_is_the_asynchronous_one_without_await():
    """Two files, one text: a change to either has to be made to both."""
    words = {
        "AsyncClient": "Client",
        "AsyncGenerator": "Iterator",
        "AsyncIterator": "Iterator",
        "aclose": "close",
        "aconnect_sse": "connect_sse",
        "aiter_sse": "iter_sse",
        "aread": "read",
        "__aenter__": "__enter__",
        "__aexit__": "__exit__",
        "asyncio": "time",
    }
    text = re.sub(r"\b(async|await) ", "", inspect.getsource(asynchronous.AsyncClient))
    text = re.sub(r"  # noqa: .*", "", text)
    for asynchronous_word, word in words.items():
        text = text.replace(asynchronous_word, word)
    twin = re.sub(r"  # noqa: .*", "", inspect.getsource(blocking.Client))
    assert re.sub(r"[\s,]", "", text) == re.sub(r"[\s,]", "", twin)
