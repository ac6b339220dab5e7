"""What ``/ws`` promises, seen through a client that nobody here wrote."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from websockets.exceptions import InvalidStatus

from gateway.session import KINDS
from gateway.streams import pace
from gateway.streams import stream as stream_module
from gateway.streams.hub import Hub
from tests.histories import STATUSES_OF_SPEECH
from tests.integration.gateway.gateway_under_test import (
    BODY,
    Running,
    accept,
    fail,
    running,
    speak,
)
from tests.integration.gateway.socket_client import Client, client_of
from tests.waiting import SECONDS, until


class TestSubscription:
    async def test_shows_what_was_and_what_comes(self, its: Running, client: Client):
        """A task's subscription has the same data as its stream over HTTP, from the beginning."""
        task_id = await its.post()
        answer = await client.ask("subscribe", taskIds=[str(task_id)])
        assert answer["data"] == {"taskIds": [str(task_id)], "position": 0}
        await client.updates(1)
        await speak(its.application, task_id)
        updates = await client.updates(len(STATUSES_OF_SPEECH) - 1)
        assert [update["status"] for update in updates] == STATUSES_OF_SPEECH[1:]
        async with its.stream(f"taskId={task_id}&from=1") as reader:
            assert updates == await reader.updates(len(updates))

    async def test_of_everything_begins_now(self, its: Running, client: Client):
        """Without tasks a subscription is about all of one's own, from now on unless asked."""
        await its.post()
        await until(lambda: its.gateway.hub.position == 1, "the hub knows")
        assert (await client.ask("subscribe"))["data"] == {"taskIds": None, "position": 1}
        await its.post()
        assert [u["position"] for u in await client.updates(1)] == [2]
        assert (await client.ask("subscribe", **{"from": "start"}))["data"]["position"] == 0
        assert [u["position"] for u in await client.updates(2)] == [1, 2]

    async def test_adds_up_and_ends(self, its: Running, client: Client):
        """Subscriptions of one connection add up, one event comes once, and each can be ended."""
        a, b, c = [str(await its.post()) for _ in range(3)]
        await client.ask("subscribe", taskIds=[a], **{"from": "now"})
        await client.ask("subscribe", taskIds=[a, b], **{"from": "now"})
        for task in (c, b, a):
            await speak(its.application, UUID(task))
        updates = await client.updates(14)
        assert [u["taskId"] for u in updates] == [b] * 7 + [a] * 7
        assert (await client.ask("unsubscribe", taskIds=[a]))["type"] == "ack"
        assert (await client.ask("unsubscribe"))["type"] == "ack"
        await its.post()
        assert (await client.ask("ping"))["type"] == "pong"
        assert not its.gateway.hub.sockets._of_task

    @pytest.mark.parametrize(
        ("last", "reason"), [("99", "future"), (3, "too_old"), ("abc", "unknown")]
    )
    async def test_that_cannot_resume_says_so(self, tmp_path: Path, last: object, reason: str):
        """A cursor that cannot be served gets a reset and goes on from now."""
        async with running(tmp_path, sse_replay_limit=4) as its, client_of(its) as client:
            await speak(its.application, await its.post())
            await until(lambda: its.gateway.hub.position == 8, "the hub knows")
            assert (await client.ask("subscribe", lastEventId=last))["data"]["position"] == 8
            reset = await client.next()
            assert (reset["type"], reset["data"]["reason"]) == ("reset", reason)
            assert reset["data"]["requested"] == str(last)
            await its.post()
            assert [u["position"] for u in await client.updates(1)] == [9]


class TestHeartbeat:
    async def test_is_a_place_to_resume_from(self, tmp_path: Path):
        """Its position takes a quiet subscription along; ``connected`` says how often it comes."""
        settings = {"sse_heartbeat_interval_ms": 1000, "sse_replay_limit": 4}
        async with running(tmp_path, **settings) as its:
            async with client_of(its) as client:
                assert client.greeting["heartbeatInterval"] == 1000
                await client.ask("subscribe", taskIds=[str(await its.post())])
                await accept(its.application, 20)
                while (at := (await client.of("heartbeat"))["data"]["position"]) < 21:
                    pass
            async with client_of(its) as client:
                await client.ask("subscribe", lastEventId=at)
                await its.post()
                assert (await client.of("reset", "task_update"))["type"] == "task_update"


class TestNoGapNoDuplicate:
    async def test_across_restarts_while_a_writer_hammers(self, tmp_path: Path):
        """A client that resumes with its last position gets every event once, in order."""
        tasks, seen = 30, []
        total = tasks * len(STATUSES_OF_SPEECH)
        written = 0
        for _ in range(3):
            # The client goes with messages unread, which its library otherwise waits for.
            async with running(tmp_path) as its, client_of(its, close_timeout=0.1) as client:

                async def life(its: Running = its) -> None:
                    await speak(its.application, await its.post())

                start = {"lastEventId": seen[-1]} if seen else {"from": "start"}
                hammering = asyncio.gather(*(life() for _ in range(tasks // 3)))
                await client.ask("subscribe", **start)
                while len(seen) < written + 50:
                    seen += [u["position"] for u in await client.updates(1)]
                await hammering
                written += total // 3
        async with running(tmp_path) as its, client_of(its) as client:
            await client.ask("subscribe", lastEventId=seen[-1])
            seen += [u["position"] for u in await client.updates(total - len(seen))]
        assert seen == list(range(1, total + 1))

    async def test_between_history_and_live(self, its: Running):
        """Clients that subscribe at any moment of a storm see the same as everybody."""
        total = 40 * len(STATUSES_OF_SPEECH)

        async def life() -> None:
            await speak(its.application, await its.post())

        async def read(n: int) -> None:
            async with client_of(its) as client:
                while await its.store.position() < n * 10:
                    await asyncio.sleep(0.001)
                await client.ask("subscribe", **{"from": "start"})
                positions = [u["position"] for u in await client.updates(total)]
                assert positions == list(range(1, total + 1))

        async with asyncio.timeout(2 * SECONDS):
            await asyncio.gather(*(life() for _ in range(40)), *(read(n) for n in range(24)))

    async def test_for_who_subscribes_anew(self, its: Running, monkeypatch: pytest.MonkeyPatch):
        """What was due before its subscription comes before it, and not again after its history."""
        gate, send = asyncio.Event(), Hub._send_due

        async def send_late(hub: Hub) -> None:
            await gate.wait()
            await send(hub)

        monkeypatch.setattr(Hub, "_send_due", send_late)
        async with client_of(its) as client:
            await client.ask("subscribe")
            await its.post()
            await until(lambda: its.gateway.hub.position == 1, "the event is due")
            anew = {"type": "subscribe", "id": 9, "from": "start"}
            await client.connection.send(json.dumps(anew))
            came = [await client.next() for _ in range(3)]
            assert [each["type"] for each in came] == ["task_update", "ack", "task_update"]
            assert [came[n]["data"]["position"] for n in (0, 2)] == [1, 1]
            gate.set()
            await its.post()
            assert (await client.updates(1))[0]["position"] == 2


class TestCommands:
    async def test_generate(self, its: Running, client: Client):
        """What is acknowledged is on disk, and the same key gets the same task."""
        order = {**BODY, "idempotencyKey": "k1", "format": "opus"}
        first = await client.ask("generate", **order, priority="low")
        assert first["data"]["status"] == "started"
        task, _ = await its.application.load(UUID(first["data"]["taskId"]))
        assert (task.template_id, task.priority) == (BODY["templateId"], "low")
        assert task.audio_format == "opus"
        again = await client.ask("generate", **order)
        assert again["data"]["taskId"] == first["data"]["taskId"]
        for change in ({"tts_text": "x"}, {"format": "mp3"}):
            other = await client.ask("generate", **(order | change))
            assert (other["type"], other["code"]) == ("error", "idempotency_key_reused")

    async def test_retry_and_cancel(self, its: Running, client: Client):
        """They do what they do over HTTP, refusals included."""
        task_id = await its.post()
        refused = await client.ask("retry", taskId=str(task_id))
        assert (refused["type"], refused["code"]) == ("error", "task_not_failed")
        await fail(its.application, task_id, permanent=True)
        mismatch = await client.ask("retry", taskId=str(task_id), tts_text="else")
        assert (mismatch["code"], mismatch["taskId"]) == ("task_mismatch", str(task_id))
        assert (await client.ask("retry", taskId=str(task_id)))["type"] == "ack"
        canceled = await client.ask("cancel", taskId=str(task_id))
        assert canceled["data"]["status"] in {"canceling", "canceled"}

    @pytest.mark.parametrize(
        ("message", "code"),
        [
            ("{", "invalid_json"),
            ("[]", "invalid_request"),
            ("{}", "invalid_request"),
            ('{"type": "sing", "id": "x"}', "invalid_request"),
            ('{"type": 5, "id": "x"}', "invalid_request"),
            ('{"type": "generate", "id": "x"}', "invalid_request"),
            (
                json.dumps(BODY | {"type": "generate", "id": "x", "priority": "?"}),
                "invalid_request",
            ),
            ('{"type": "generate", "id": "x", "templateId": "../x", "tts_text": "y"}', None),
            (
                json.dumps(BODY | {"type": "generate", "id": "x", "tts_text": "!!!!"}),
                "nothing_to_speak",
            ),
            ('{"type": "subscribe", "id": "x", "from": "yesterday"}', "invalid_request"),
            ('{"type": "subscribe", "id": "x", "taskIds": "all"}', "invalid_request"),
            (f'{{"type": "subscribe", "id": "x", "taskIds": ["{UUID(int=7)}"]}}', "task_not_found"),
            ('{"type": "cancel", "id": "x", "taskId": "1"}', "task_not_found"),
        ],
    )
    async def test_wrong_ones_are_refused(
        self, its: Running, client: Client, message: str, code: str | None
    ):
        """A message that cannot be served gets an error with its id, and the next one is served."""
        await client.connection.send(message)
        error = await client.next()
        assert error["type"] == "error"
        assert error["code"] == (code or "invalid_request")
        assert error["id"] == ("x" if '"x"' in message else None)
        assert (await client.ask("ping"))["type"] == "pong"
        assert await its.store.position() == 0

    async def test_too_many_tasks(self, client: Client):
        """One connection is about a bounded number of named tasks."""
        names = [str(uuid4()) for _ in range(101)]
        assert (await client.ask("subscribe", taskIds=names))["code"] == "invalid_request"


class TestFraming:
    async def test_too_large_and_binary_end_the_connection(self, tmp_path: Path):
        """Both are closed with the code that says why."""
        async with running(tmp_path, request_max_bytes=2000) as its:
            async with client_of(its) as client:
                await client.connection.send("x" * 2001)
                assert (await client.closed())[0] == 1009
            async with client_of(its) as client:
                await client.connection.send(b"{}")
                assert (await client.closed())[0] == 1003
            async with client_of(its) as client:
                await client.connection.send(iter(['{"type": "pi', 'ng", "id"', ": 7}"]))
                assert await client.next() == {"type": "pong", "id": 7}
            await until(lambda: not its.gateway.hub.sockets, "nobody is left")

    async def test_what_is_no_handshake_is_refused(self, its: Running):
        """A plain GET learns what is expected here."""
        answer = await its.client.get("/ws")
        assert (answer.status_code, answer.json()["code"]) == (426, "websocket_expected")
        assert answer.headers["upgrade"] == "websocket"

    async def test_pages_of_other_sites_are_refused(self, tmp_path: Path):
        """A page may open a WebSocket to its own host and where CORS_ORIGINS says so, only."""
        async with running(tmp_path, cors_origins="https://app.example.com") as its:
            for origin in (f"http://127.0.0.1:{its.settings.port}", "https://app.example.com"):
                async with client_of(its, origin=origin) as client:
                    assert (await client.ask("ping"))["type"] == "pong"
            with pytest.raises(InvalidStatus) as caught:
                async with client_of(its, origin="https://evil.example.com"):
                    pass
            assert caught.value.response.status_code == 403

    async def test_many_messages_at_once_are_answered_in_order(self, client: Client):
        """A burst longer than what may wait is held back, not dropped."""
        for n in range(300):
            await client.connection.send(json.dumps({"type": "ping", "id": n}))
        assert [(await client.of("pong"))["id"] for _ in range(300)] == list(range(300))


class TestReaders:
    async def test_who_never_answers_pings_is_dropped(self, tmp_path: Path):
        """Silence from one heartbeat to the next ends the connection; who answers stays."""
        async with (
            running(tmp_path, sse_heartbeat_interval_ms=700) as its,
            client_of(its) as client,
        ):
            mute = await handshake(its)
            await until(lambda: len(its.gateway.hub.sockets) == 2, "both are there")
            await until(lambda: len(its.gateway.hub.sockets) == 1, "one is gone")
            for _ in range(2):
                assert (await client.of("heartbeat"))["data"]["position"] == 0
            mute.close()

    async def test_who_never_reads_is_cut(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        """A client past its bounded buffer is cut, and holds nobody up."""
        monkeypatch.setattr(stream_module, "BUFFER_BYTES", 20_000)
        async with running(tmp_path) as its, client_of(its) as client:
            await client.ask("subscribe")
            slow = await handshake(its, frame('{"type": "subscribe"}'))
            await until(lambda: len(its.gateway.hub.sockets._of_everything) == 2, "both are there")
            total = 0
            while len(its.gateway.hub.sockets) == 2:
                await accept(its.application, 50)
                total = await its.store.position()
                assert total < 50_000
            assert [u["position"] for u in await client.updates(total)] == list(range(1, total + 1))
            slow.close()

    async def test_who_asks_and_never_reads_is_cut(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """Answers are bounded, too: a flood of requests that nobody reads ends the connection."""
        monkeypatch.setattr(stream_module, "BUFFER_BYTES", 20_000)
        monkeypatch.setattr(pace, "FRAMES_PER_SECOND", 1_000_000)
        async with running(tmp_path) as its:
            slow = await handshake(its)
            slow.setblocking(False)  # noqa: FBT003 -- as the library has it
            loop = asyncio.get_running_loop()
            flood = frame(json.dumps({"type": "ping", "id": "x" * 100})) * 100
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(SECONDS):
                    while True:
                        await loop.sock_sendall(slow, flood)
            await until(lambda: not its.gateway.hub.sockets, "it is gone")
            slow.close()


async def handshake(its: Running, after: bytes = b"") -> socket.socket:
    """A client with little room that begins a WebSocket, sends ``after``, and no more."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", its.settings.port))
    before = len(its.gateway.hub.sockets)
    client.sendall(
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await until(lambda: len(its.gateway.hub.sockets) == before + 1, "the socket is there")
    client.sendall(after)
    return client


def frame(text: str) -> bytes:
    """A client's frame, masked with nothing."""
    data = text.encode()
    length = bytes([0x80 | len(data)])
    if len(data) >= 126:
        length = bytes([0x80 | 126]) + len(data).to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + data


class TestStopping:
    async def test_sends_everybody_away(self, tmp_path: Path):
        """A stopping gateway closes with 1001 and says when to come back, spread over seconds."""
        async with (
            running(tmp_path, shutdown_seconds=600) as its,
            contextlib.AsyncExitStack() as stack,
        ):
            clients = [await stack.enter_async_context(client_of(its)) for _ in range(20)]
            mute = await handshake(its)
            closing = asyncio.gather(*(client.closed() for client in clients))
            async with asyncio.timeout(SECONDS):
                await its.gateway.stop()
            ends = await closing
            assert {code for code, _ in ends} == {1001}
            assert len({reason for _, reason in ends}) > 10
            mute.close()

    async def test_takes_nobody_new(self, its: Running):
        """A handshake that arrives while the gateway stops is told to come back."""
        await its.gateway.hub.aclose()
        with pytest.raises(InvalidStatus) as caught:
            async with client_of(its):
                pass
        assert caught.value.response.status_code == 503


class TestProtocol:
    async def test_is_written_down_and_served(self, its: Running):
        """The served description names every message that a session understands."""
        answer = await its.client.get("/asyncapi.yaml")
        assert answer.headers["content-type"].startswith("application/yaml")
        for kind in KINDS:
            assert f"type: {{const: {kind}}}" in answer.text
