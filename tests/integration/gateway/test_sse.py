"""What the streams promise: everything, once, in order, across every kind of interruption."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from gateway.streams import hub as hub_module
from gateway.streams import stream as stream_module
from tests.histories import STATUSES_OF_SPEECH
from tests.integration.gateway.gateway_under_test import (
    Running,
    accept,
    claim_again,
    running,
    speak,
)
from tests.waiting import SECONDS, until
from tts.ports.errors import Unavailable
from tts.ports.log import Log, Recorded
from tts.store.sqlite import SQLiteStore

TASKS = 40
READERS = 24
SO_ATTACH_FILTER = 26  # Linux's; the module has no name for it


class TestStream:
    async def test_tells_a_task_from_its_beginning(self, its: Running):
        """Who subscribes after the POST gets each status from the first on, then live."""
        task_id = await its.post()
        async with its.stream(f"taskId={task_id}") as reader:
            first = await reader.next()
            assert first.event == "connected"
            assert first.json()["clientId"]
            assert (await reader.updates(1))[0] == {
                "taskId": str(task_id),
                "status": "starting",
                "timestamp": (await its.application.load(task_id))[0].created_on.isoformat(),
                "position": 1,
                "templateId": "template1",
            }
            await speak(its.application, task_id)
            updates = await reader.updates(len(STATUSES_OF_SPEECH) - 1)
            assert ["starting", *(u["status"] for u in updates)] == STATUSES_OF_SPEECH
            assert updates[-1]["audioUrl"] == its.audio.url(f"audio-{task_id}.wav")
            assert updates[3]["predictionId"] == "p1"

    async def test_head_is_made_for_proxies(self, its: Running):
        """Nothing between us and the client holds frames back, and clients know when to return."""
        async with its.stream() as reader:
            headers = reader.source.response.headers
            assert headers["content-type"].startswith("text/event-stream")
            assert headers["x-accel-buffering"] == "no"
            assert "no-cache" in headers["cache-control"]
        _, writer, raw = await raw_stream(its, "HTTP/1.0")
        assert b"retry: 2000\n" in raw
        assert b"chunked" not in raw
        writer.close()

    @pytest.mark.parametrize("separator", [",", "&taskId="])
    async def test_is_only_about_the_tasks_asked_for(self, its: Running, separator: str):
        """A stream of several tasks shows theirs, in the log's order, and no other's."""
        a, b, other = await its.post(), await its.post(), await its.post()
        async with its.stream(f"taskId={a}{separator}{b}") as reader:
            for task_id in (other, b, a):
                await speak(its.application, task_id)
            updates = await reader.updates(2 * len(STATUSES_OF_SPEECH))
            assert {u["taskId"] for u in updates} == {str(a), str(b)}
            positions = [u["position"] for u in updates]
            assert positions == sorted(positions)

    @pytest.mark.parametrize("separator", [",", "&taskId="])
    async def test_refuses_what_it_cannot_show(self, its: Running, separator: str):
        """An unknown task is 404 and a start that means nothing 400, before any stream begins."""
        task_id = await its.post()
        answer = await its.ask(f"/events?taskId={task_id}{separator}{uuid4()}")
        assert (answer.status_code, answer.json()["code"]) == (404, "task_not_found")
        answer = await its.ask("/events?from=yesterday")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        many = separator.join(["taskId=" + str(task_id), *[str(task_id)] * 100])
        assert (await its.ask(f"/events?{many}")).status_code == 400
        assert len(its.gateway.hub.streams) == 0

    async def test_tells_the_template_in_each_update(self, tmp_path: Path):
        """Of a task that began before the stream, and before the gateway did."""
        async with running(tmp_path) as its:
            before = await its.post(templateId="before")
            await claim_again(its.application, before, 1)
        async with running(tmp_path) as its:
            position = await its.store.position()
            async with (
                its.stream(headers={"Last-Event-ID": str(position - 1)}) as resumed,
                its.stream() as live,
                its.stream(f"taskId={before}") as own,
            ):
                await live.of("connected")
                task_id = await its.post(templateId="live")
                await claim_again(its.application, before, 1)
                for reader, count in ((resumed, 3), (live, 2)):
                    updates = await reader.updates(count)
                    assert {u["taskId"]: u["templateId"] for u in updates} == {
                        str(before): "before",
                        str(task_id): "live",
                    }
                    assert all("templateId" in update for update in updates)
                assert {u["templateId"] for u in await own.updates(4)} == {"before"}

    async def test_starts_where_asked(self, its: Running):
        """``from`` takes the log's start, its end, or any position."""
        task_id = await its.post()
        await speak(its.application, task_id)
        for query, first in [
            ("from=start", 1),
            ("from=5", 6),
            (f"from=5&taskId={task_id}", 6),
            ("from=now", 9),
            (f"from=now&taskId={task_id}", 9),
            ("", 9),
        ]:
            async with its.stream(query) as reader:
                assert (await reader.next()).id == str(first - 1)
                if first <= 8:
                    assert (await reader.updates(1))[0]["position"] == first
                else:
                    position = await its.store.position()
                    await until(lambda: len(its.gateway.hub.streams) == 1, "it is alone")
                    assert position == 8


class TestNoGapNoDuplicate:
    async def test_between_history_and_live(self, its: Running):
        """Clients that connect while a writer hammers get every event once, in order."""
        watched = await its.post()
        writing = asyncio.gather(*(life(its) for _ in range(TASKS)))

        async def read(n: int) -> None:
            # Spread over the writer's time: some find all of it in history, some none.
            while await its.store.position() < n * 10:
                await asyncio.sleep(0.001)
            async with its.stream("from=start") as reader:
                total = 1 + TASKS * len(STATUSES_OF_SPEECH) + 60
                positions = [u["position"] for u in await reader.updates(total)]
                assert positions == list(range(1, total + 1))

        async def read_task() -> None:
            async with its.stream(f"taskId={watched}") as reader:
                updates = await reader.updates(61)
                assert [u["position"] for u in updates] == [
                    event.position for event in (await its.store.events(watched))
                ]

        work_on_watched = asyncio.create_task(claim_again(its.application, watched, 59))
        readers = [read(n) for n in range(READERS)] + [read_task() for _ in range(READERS)]
        async with asyncio.timeout(2 * SECONDS):
            await asyncio.gather(writing, work_on_watched, *readers)

    async def test_across_a_restart_of_the_gateway(self, tmp_path: Path):
        """A client that returns with its last id, in header or query, gets what it missed."""
        async with running(tmp_path) as its:
            task_id = await its.post()
            async with its.stream("from=start") as reader:
                (update,) = await reader.updates(1)
                last = str(update["position"])
            port = its.settings.port
        async with running(tmp_path, port=port) as its:
            await speak(its.application, task_id)
            missed = list(range(2, 9))
            for query, headers in [
                ("", {"Last-Event-ID": last}),
                (f"lastEventId={last}", {}),
                # The browser reconnects with the URL that it began with: the header goes first.
                ("from=now&lastEventId=7", {"Last-Event-ID": last}),
                (f"taskId={task_id}", {"Last-Event-ID": last}),
            ]:
                async with its.stream(query, headers) as reader:
                    updates = await reader.updates(len(missed))
                    assert [u["position"] for u in updates] == missed

    async def test_when_the_connection_is_lost_before_the_first_update(self, its: Running):
        """``connected`` carries an id already, so that what happens meanwhile is not missed."""
        await its.post()
        async with its.stream() as reader:
            last = (await reader.next()).id
        await its.post()
        async with its.stream(headers={"Last-Event-ID": last}) as reader:
            assert [u["position"] for u in await reader.updates(1)] == [2]

    async def test_between_list_and_stream(self, its: Running):
        """What the list does not show yet comes from its position on, however far it is behind."""
        task_id = await its.post()
        await its.project()
        await speak(its.application, task_id)
        listed = (await its.client.get("/api/tts/tasks")).json()["data"]
        assert [task["status"] for task in listed["tasks"]] == ["starting"]
        async with its.stream(f"from={listed['position']}") as reader:
            updates = await reader.updates(len(STATUSES_OF_SPEECH) - 1)
            assert [update["status"] for update in updates] == STATUSES_OF_SPEECH[1:]

    async def test_between_snapshot_and_stream(self, tmp_path: Path):
        """A position that the streams have not reached yet is waited for, and is no future."""
        gate = asyncio.Event()
        log = partial(LateLog, gate=gate)
        async with running(tmp_path, log=log) as its, its.stream() as other:
            await other.of("connected")
            task_id = await its.post()
            answer = await its.client.get(f"/api/tts/task/{task_id}")
            position = answer.json()["data"]["position"]
            assert its.gateway.hub.position < position
            asyncio.get_running_loop().call_later(0.1, gate.set)
            async with its.stream(f"from={position}") as reader:
                assert (await reader.next()).id == str(position)
                await speak(its.application, task_id)
                updates = await reader.updates(len(STATUSES_OF_SPEECH) - 1)
                assert updates[0]["position"] == position + 1


class LateLog:
    """A log whose followers learn nothing until the gate opens."""

    def __init__(self, store: Log, *, gate: asyncio.Event) -> None:
        self._store = store
        self._gate = gate

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def follow(self, after: int, *, batch: int = 500) -> AsyncIterator[list[Recorded]]:
        """See the port."""
        async for events in self._store.follow(after, batch=batch):
            await self._gate.wait()
            yield events


async def life(its: Running) -> None:
    await speak(its.application, await its.post())


class TestReset:
    @pytest.mark.parametrize(
        ("asked", "reason"),
        [("99", "future"), ("9" * 40, "future"), ("3", "too_old"), ("abc", "unknown")],
    )
    @pytest.mark.parametrize("where", ["header", "query"])
    async def test_is_said_aloud(self, tmp_path: Path, asked: str, reason: str, where: str):
        """A cursor that cannot be served gets a reset with the position from which it goes on."""
        async with running(tmp_path, sse_replay_limit=4) as its:
            task_id = await its.post()
            await speak(its.application, task_id)
            headers = {"Last-Event-ID": asked} if where == "header" else {}
            async with its.stream("" if headers else f"lastEventId={asked}", headers) as reader:
                assert (await reader.next()).event == "connected"
                reset = await reader.next()
                assert (reset.event, reset.id) == ("reset", "8")
                assert reset.json()["reason"] == reason
                assert reset.json()["requested"] == asked
                assert reset.json()["position"] == 8
                await its.post()
                assert [u["position"] for u in await reader.updates(1)] == [9]

    async def test_limit_itself_is_replayed(self, tmp_path: Path):
        """Exactly as many events as allowed are replayed, without a reset."""
        async with running(tmp_path, sse_replay_limit=4) as its:
            await speak(its.application, await its.post())
            async with its.stream(headers={"Last-Event-ID": "4"}) as reader:
                await reader.next()
                assert (await reader.next()).id == "5"

    async def test_never_hits_the_stream_of_a_task(self, tmp_path: Path):
        """A task's own history is short: its stream resumes however old the cursor is."""
        async with running(tmp_path, sse_replay_limit=2) as its:
            task_id = await its.post()
            await speak(its.application, task_id)
            async with its.stream(f"taskId={task_id}", {"Last-Event-ID": "1"}) as reader:
                assert [u["position"] for u in await reader.updates(7)] == list(range(2, 9))


class TestHeartbeat:
    async def test_beats_at_the_interval_that_it_tells(self, tmp_path: Path):
        """An idle stream shows signs of life, as often as its first event says."""
        async with running(tmp_path, sse_heartbeat_interval_ms=50) as its, its.stream() as reader:
            assert (await reader.next()).json()["heartbeatInterval"] == 50
            started = asyncio.get_running_loop().time()
            for beat in [await reader.of("heartbeat") for _ in range(4)]:
                assert beat.json()["position"] == 0
                datetime.fromisoformat(beat.json()["timestamp"])
            assert asyncio.get_running_loop().time() - started > 0.1

    async def test_takes_the_cursor_along(self, tmp_path: Path):
        """Who hears of nothing while others are busy resumes without a reset all the same."""
        async with running(tmp_path, sse_heartbeat_interval_ms=50, sse_replay_limit=4) as its:
            task_id = await its.post()
            async with its.stream(f"taskId={task_id}&from=now") as reader:
                await accept(its.application, 20)
                while (beat := await reader.of("heartbeat")).json()["position"] < 21:
                    pass
                assert beat.id == "21"
            async with its.stream(headers={"Last-Event-ID": beat.id}) as reader:
                assert (await reader.next()).event == "connected"
                await its.post()
                assert (await reader.next()).event != "reset"

    async def test_never_runs_ahead_of_the_updates(self, tmp_path: Path):
        """What the streams have not got yet is not in a heartbeat's id, though it is in the log."""
        gate = asyncio.Event()
        settings = {"sse_heartbeat_interval_ms": 20}
        async with (
            running(tmp_path, log=partial(LateLog, gate=gate), **settings) as its,
            its.stream() as reader,
        ):
            await its.post()
            assert {(await reader.of("heartbeat")).id for _ in range(5)} == {"0"}
            gate.set()
            assert (await reader.of("task_update")).id == "1"
            assert (await reader.of("heartbeat")).id == "1"

    async def test_is_as_good_a_place_to_resume_as_an_update(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """In a storm, clients that leave at heartbeats and come back see everything once."""
        monkeypatch.setattr(hub_module, "STREAMS_AT_ONCE", 1)
        total = 30 * len(STATUSES_OF_SPEECH)
        async with running(tmp_path, sse_heartbeat_interval_ms=1) as its:

            async def read() -> None:
                seen: list[int] = []
                cursor = 0
                while len(seen) < total:
                    async with its.stream(headers={"Last-Event-ID": str(cursor)}) as reader:
                        beats = 0
                        while beats < 5 and len(seen) < total:
                            event = await reader.next()
                            assert int(event.id) >= cursor
                            cursor = int(event.id)
                            if event.event == "task_update":
                                seen.append(cursor)
                            beats += event.event == "heartbeat"
                assert seen == list(range(1, total + 1))

            async with asyncio.timeout(2 * SECONDS):
                writing = asyncio.gather(*(life(its) for _ in range(30)))
                await asyncio.gather(writing, *(read() for _ in range(READERS)))

    async def test_nobody_listening_costs_nothing(self, its: Running):
        """The log is followed from the first stream to the last, and not in between."""
        hub = its.gateway.hub
        assert not hub._running
        for _ in range(2):
            async with its.stream() as reader, its.stream() as second:
                await reader.next()
                await second.next()
                assert hub._running
            await until(lambda: not hub._running, "the hub rests")


class TestReaders:
    async def test_slow_one_is_cut_and_the_others_get_everything(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """Who does not read is closed at a bounded buffer, and holds nobody up."""
        monkeypatch.setattr(stream_module, "BUFFER_BYTES", 20_000)
        async with running(tmp_path) as its:
            slow = small_socket(its)
            async with its.stream() as reader:
                await reader.next()
                await until(lambda: len(its.gateway.hub.streams) == 2, "both are there")
                total = 0
                while len(its.gateway.hub.streams) == 2:
                    await accept(its.application, 50)
                    total = await its.store.position()
                    assert total < 50_000
                updates = await reader.updates(total)
                assert [u["position"] for u in updates] == list(range(1, total + 1))
            slow.close()

    async def test_slow_one_in_its_history_is_cut_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """Who asks for history and does not read it is closed after the client timeout."""
        monkeypatch.setattr(stream_module, "BUFFER_BYTES", 20_000)
        async with running(tmp_path, sse_client_timeout_ms=200) as its:
            await accept(its.application, 9000)
            slow = small_socket(its, "?from=start")
            await until(lambda: len(its.gateway.hub.streams) == 1, "it is there")
            await until(lambda: not its.gateway.hub.streams, "it is gone")
            slow.close()

    @pytest.mark.parametrize("how", ["close", "half-close", "reset"])
    async def test_vanished_one_is_noticed(self, tmp_path: Path, how: str):
        """A client that goes, in whichever way, leaves nothing behind."""
        async with running(tmp_path, sse_heartbeat_interval_ms=100) as its:
            client = small_socket(its)
            await until(lambda: len(its.gateway.hub.streams) == 1, "it is there")
            if how == "half-close":
                client.shutdown(socket.SHUT_WR)
            else:
                if how == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                client.close()
            await until(lambda: not its.gateway.hub.streams, "it is gone")
            await until(lambda: not its.gateway.hub._running, "the hub rests")
            assert not its.gateway.hub.streams._of_everything
            await until(lambda: not its.gateway._server.connections, "so is its connection")
            client.close()

    async def test_unreachable_one_is_noticed_within_two_heartbeats(self, tmp_path: Path):
        """A client that acknowledges nothing is dropped one heartbeat after the one it missed."""
        async with running(tmp_path, sse_heartbeat_interval_ms=1000) as its, its.stream() as other:
            client = small_socket(its)
            await until(lambda: len(its.gateway.hub.streams) == 2, "it is there")
            pull_the_plug(client)
            beats = 0
            while len(its.gateway.hub.streams) == 2 and beats < 10:
                await other.of("heartbeat")
                beats += 1
            assert beats <= 3  # it is gone when the others hear of the third
            client.close()


def pull_the_plug(client: socket.socket) -> None:
    """From now on nothing reaches the client, so that its kernel acknowledges nothing either."""
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0
    program = struct.pack("HP", 1, ctypes.addressof(drop_all))
    client.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def small_socket(its: Running, query: str = "") -> socket.socket:
    """A client that asks for a stream and has room for little of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    # The kernel answers for the gateway, whose loop this thread is.
    client.connect(("127.0.0.1", its.settings.port))
    client.sendall(f"GET /events{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return client


async def raw_stream(
    its: Running, version: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", its.settings.port)
    writer.write(f"GET /events {version}\r\nHost: localhost\r\n\r\n".encode())
    raw = b""
    async with asyncio.timeout(SECONDS):
        while b"event: connected" not in raw:
            raw += await reader.read(4096)
    return reader, writer, raw


class TestStopping:
    @pytest.fixture
    async def its(self, tmp_path: Path) -> AsyncIterator[Running]:
        """One that would wait for its clients longer than a test does."""
        async with running(tmp_path, shutdown_seconds=600) as its:
            yield its

    async def test_sends_every_client_away(self, its: Running):
        """A stopping gateway tells each client when to return, spread over seconds."""
        readers = [await raw_stream(its, "HTTP/1.1") for _ in range(100)]
        async with asyncio.timeout(SECONDS):
            await its.gateway.stop()
        delays = set()
        for reader, writer, _ in readers:
            size, chunk, rest = (await reader.read()).split(b"\r\n", 2)
            assert len(chunk) == int(size, 16)
            assert chunk.startswith(b"retry: ")
            assert rest == b"0\r\n\r\n", "the end of the body is not seen"
            delays.add(int(chunk.split()[1]))
            writer.close()
        assert 500 <= min(delays) < 2000
        assert 3000 < max(delays) <= 5000

    async def test_takes_nobody_new(self, its: Running):
        """A request for a stream that arrives while the gateway stops is told to come back."""
        await its.gateway.hub.aclose()
        answer = await its.ask("/events")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"]


class TestTrouble:
    async def test_log_that_cannot_be_followed_ends_the_streams(self, tmp_path: Path):
        """An event that this version cannot read leaves nobody in silence: the stream ends."""
        async with running(tmp_path, log=BrokenLog) as its:
            async with its.stream() as reader:
                await reader.next()
                await its.post()
                assert [event.data for event in await reader.rest()] == [""]  # a retry, no more
            assert not its.gateway.hub._running

    async def test_store_that_is_away_refuses_the_stream(
        self, its: Running, monkeypatch: pytest.MonkeyPatch
    ):
        """Without the store there is no stream: 503, not an empty one."""

        async def away() -> int:
            raise Unavailable("no disk")

        monkeypatch.setattr(its.store, "position", away)
        assert (await its.ask("/events")).status_code == 503
        assert not its.gateway.hub._followers


class BrokenLog(LateLog):
    """A log with an event of a newer version."""

    def __init__(self, store: SQLiteStore) -> None:
        super().__init__(store, gate=asyncio.Event())

    async def follow(self, after: int, *, batch: int = 500) -> AsyncIterator[list[Recorded]]:
        """See the port."""
        async for events in self._store.follow(after, batch=batch):
            yield [
                Recorded(e.position, e.task_id, e.version, "tts.task.sung", e.state) for e in events
            ]
