"""What is decided before anything is routed, and what every answer has."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
from codecs import BOM_UTF8
from http import HTTPStatus
from pathlib import Path

import pytest

from gateway.door import Door
from gateway.sanic_internals import arriving_request
from tests.integration.gateway.gateway_under_test import BODY, Running, running
from tests.waiting import SECONDS, until

LOCAL = b"Host: localhost\r\n"
CHUNKED = b"POST /api/tts HTTP/1.1\r\n" + LOCAL + b"Transfer-Encoding: chunked\r\n\r\n"


async def answer_to(its: Running, *pieces: bytes) -> bytes:
    """What comes back on a connection of its own until the gateway closes it or falls silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", its.settings.port)
    answer = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(SECONDS):
            answer = await reader.readuntil(b"\r\n\r\n")
            if b"connection: close" in answer.lower() and b"event-stream" not in answer:
                answer += await reader.read()
    except ConnectionError:
        pass  # it closes while we still write
    finally:
        writer.close()
    return answer


def status(answer: bytes) -> int:
    """The status of an answer."""
    return int(answer.split(b" ", 2)[1])


class TestForWhom:
    PATHS = ("/", "/health", "/metrics", "/api/tts/tasks", "/events", "/ws", "/nowhere", "/docs")

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT"])
    async def test_nothing_is_for_foreign_names(self, tmp_path: Path, method: str):
        """No path and no method, known or not: 421, and a word on the setting that would help."""
        async with running(tmp_path, cors_origins="*", tts_allow_anonymous=True) as its:
            for path in self.PATHS:
                head = f"{method} {path} HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n"
                more = "Access-Control-Request-Method: GET\r\n" if method == "OPTIONS" else ""
                answer = await answer_to(its, f"{head}{more}\r\n".encode())
                assert answer.startswith(b"HTTP/1.1 421 Misdirected Request\r\n"), path
                if method != "HEAD":
                    assert (
                        json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "host_not_allowed"
                    )
                    assert b"ALLOWED_HOSTS" in answer

    async def test_a_target_names_a_host_as_well(self, its: Running):
        """Both have to be ours."""
        for host, target, expected in (
            ("localhost", "http://localhost/health", 200),
            ("localhost", "http://evil.test/health", 421),
            ("evil.test", "http://localhost/health", 421),
            ("localhost", "HTTP://127.0.0.1:80/health", 200),
            ("localhost", "http://localhost:99999/health", 400),
            ("localhost", "http://user@localhost/health", 400),
        ):
            answer = await answer_to(its, f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert status(answer) == expected, target

    async def test_names_that_are_listed(self, tmp_path: Path):
        """ALLOWED_HOSTS and PUBLIC_URL make a name ours; a key makes no difference."""
        names = {"allowed_hosts": "a.example", "public_url": "http://b.example/tts"}
        async with running(tmp_path, tts_allow_anonymous=True, **names) as its:
            for name, expected in (("a.example", 200), ("b.example:81", 200), ("c.example", 421)):
                headers = {"Host": name}
                assert (await its.client.get("/health", headers=headers)).status_code == expected

    async def test_a_foreign_page_opens_no_websocket(self, tmp_path: Path):
        """Not even one that claims the name by which it called us."""
        async with running(tmp_path, allowed_hosts="ours.example") as its:
            upgrade = {
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            }
            for host, origin, expected in (
                ("evil.test", "http://evil.test", 421),
                ("127.0.0.1:8080", "http://127.0.0.1:8080", 403),
                ("localhost", "null", 403),
                ("ours.example:81", "http://ours.example:81", 403),
                ("ours.example", "http://ours.example", 101),
                ("localhost", f"http://127.0.0.1:{its.settings.port}", 101),
            ):
                lines = {"Host": host, "Origin": origin, **upgrade}
                head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
                answer = await answer_to(its, f"GET /ws HTTP/1.1\r\n{head}\r\n".encode())
                assert status(answer) == expected, origin


AMBIGUOUS = {
    "no Host": b"GET /health HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /health HTTP/1.1\r\n" + LOCAL + LOCAL + b"\r\n",
    "an empty Host": b"GET /health HTTP/1.1\r\nHost:\r\n\r\n",
    "two Hosts in one": b"GET /health HTTP/1.1\r\nHost: localhost, localhost\r\n\r\n",
    "a blank before the colon": b"GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "a blank before a name": b"GET /health HTTP/1.1\r\n" + LOCAL + b" X: y\r\n\r\n",
    "a folded line": b"GET /health HTTP/1.1\r\n" + LOCAL + b"X: a\r\n\tb\r\n\r\n",
    "no name": b"GET /health HTTP/1.1\r\n" + LOCAL + b": x\r\n\r\n",
    "no colon": b"GET /health HTTP/1.1\r\n" + LOCAL + b"X\r\n\r\n",
    "bare LF": b"GET /health HTTP/1.1\nHost: localhost\n\n",
    "one bare LF": b"GET /health HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "a bare CR": b"GET /health HTTP/1.1\r\n" + LOCAL + b"X: a\rb\r\n\r\n",
    "NUL in a value": b"GET /health HTTP/1.1\r\n" + LOCAL + b"X: a\0b\r\n\r\n",
    "NUL in the path": b"GET /\0 HTTP/1.1\r\n" + LOCAL + b"\r\n",
    "DEL in the path": b"GET /\x7f HTTP/1.1\r\n" + LOCAL + b"\r\n",
    "UTF-8 in the path": "GET /ü HTTP/1.1\r\n".encode() + LOCAL + b"\r\n",
    "a fragment": b"GET /health#x HTTP/1.1\r\n" + LOCAL + b"\r\n",
    "no slash": b"GET health HTTP/1.1\r\n" + LOCAL + b"\r\n",
    "two blanks": b"GET  /health HTTP/1.1\r\n" + LOCAL + b"\r\n",
    "a tab": b"GET\t/health HTTP/1.1\r\n" + LOCAL + b"\r\n",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CONNECT to a path": b"CONNECT /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "both lengths": b"POST /api/tts HTTP/1.1\r\n"
    + LOCAL
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /api/tts HTTP/1.1\r\n"
    + LOCAL
    + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    **{
        f"Content-Length {length.decode('latin-1')!r}": b"POST /api/tts HTTP/1.1\r\n"
        + LOCAL
        + b"Content-Length: %b\r\n\r\n{}" % length
        for length in (b"+2", b"-2", b"0x2", b"2,2", b"2 2", b"", b"2.0", b"1_0", "٢".encode())
    },
    **{
        f"Transfer-Encoding {coding.decode()!r}": b"POST /api/tts HTTP/1.1\r\n"
        + LOCAL
        + b"Transfer-Encoding: %b\r\n\r\n2\r\n{}\r\n0\r\n\r\n" % coding
        for coding in (b"gzip, chunked", b"identity", b"xchunked", b"chunked, chunked", b"")
    },
    "chunks in HTTP/1.0": b"POST /api/tts HTTP/1.0\r\n"
    + LOCAL
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    **{
        f"a chunk of {size.decode('latin-1')!r}": CHUNKED + size + b"\r\n{}\r\n0\r\n\r\n"
        for size in (b"", b"0x2", b"+2", b"-2", b"2 ", b" 2", b"2_0", b"g", b"2\n", b"f" * 17)
    },
    "a chunk with a long extension": CHUNKED + b"2;" + b"x" * 5000 + b"\r\n{}\r\n0\r\n\r\n",
    "a chunk with a bare LF": CHUNKED + b"2;a\nb\r\n{}\r\n0\r\n\r\n",
    "a chunk that is longer than its size": CHUNKED + b"2\r\n{}x\r\n0\r\n\r\n",
    "a trailer": CHUNKED + b"2\r\n{}\r\n0\r\nX: y\r\n\r\n",
}


class TestAmbiguity:
    @pytest.mark.parametrize("raw", AMBIGUOUS.values(), ids=AMBIGUOUS)
    async def test_is_refused(self, tmp_path: Path, caplog: pytest.LogCaptureFixture, raw: bytes):
        """With 400 and the end of the connection, in pieces or at once, and without a traceback."""
        smuggled = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
        async with running(tmp_path) as its:
            for pieces in ((raw + smuggled,), (raw[:30], raw[30:])):
                answer = await answer_to(its, *pieces)
                assert status(answer) == HTTPStatus.BAD_REQUEST
                assert b"connection: close" in answer.lower()
                assert answer.count(b"HTTP/1.1") == 1, "what came behind was taken for a request"
        noise = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(noise) <= 2
        assert not any(record.exc_info for record in noise)

    async def test_chunks_as_they_should_be(self, tmp_path: Path):
        """Sizes in hexadecimal and short extensions are read, and the connection stays."""
        body = json.dumps(BODY).encode()
        async with running(tmp_path) as its:
            raw = CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Type: application/json\r\n\r\n")
            for n in range(0, len(body), 16):
                piece = body[n : n + 16]
                raw += b"%X;name=value\r\n%b\r\n" % (len(piece), piece)
            answer = await answer_to(its, raw + b"0\r\n\r\n")
            assert status(answer) == HTTPStatus.ACCEPTED
            assert b"keep-alive" in answer

    async def test_what_is_odd_and_clear(self, tmp_path: Path):
        """An empty line first, a head byte by byte, blanks around a value, HTTP/1.0 and no Host."""
        health = b"GET /health HTTP/1.1\r\nHost: \t localhost \t\r\n\r\n"
        async with running(tmp_path) as its:
            for pieces in (
                (b"\r\n" + health,),
                tuple(bytes([byte]) for byte in health),
                (b"GET /health HTTP/1.0\r\n\r\n",),
            ):
                assert status(await answer_to(its, *pieces)) == HTTPStatus.OK

    async def test_too_many_fields(self, its: Running):
        """101 are too many, however short."""
        for count, expected in ((99, 200), (100, 431)):
            fields = LOCAL + b"x: y\r\n" * count
            answer = await answer_to(its, b"GET /health HTTP/1.1\r\n" + fields + b"\r\n")
            assert status(answer) == expected

    async def test_values_that_are_no_text(self, tmp_path: Path, caplog: pytest.LogCaptureFixture):
        """Whatever field it is in, a byte that is no UTF-8 breaks nothing."""
        async with running(tmp_path) as its:
            for name in ("Last-Event-ID", "Idempotency-Key", "X-Any", "webhook-id", "Origin"):
                for head in ("GET /events", "POST /api/tts", "POST /webhooks/replicate"):
                    raw = f"{head} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n{name}: "
                    answer = await answer_to(its, raw.encode() + b"\xff\r\n\r\n")
                    assert status(answer) < HTTPStatus.INTERNAL_SERVER_ERROR
            reader, writer = await asyncio.open_connection("127.0.0.1", its.settings.port)
            writer.write(b"GET /events HTTP/1.1\r\n" + LOCAL + b"Last-Event-ID: \xff\r\n\r\n")
            async with asyncio.timeout(SECONDS):
                await reader.readuntil(b"event: reset")
            writer.close()
        assert not any(record.exc_info for record in caplog.records)


class TestAnswers:
    async def test_a_head_is_that_of_get(self, its: Running):
        """On every path that can be got, and without a body."""
        task_id = await its.post()
        served = its.gateway._app.ctx.needs
        paths = [path for method, path in served if method == "GET"]
        assert len(paths) > 15
        for path in paths:
            url = path.replace("<task_id:str>", str(task_id)).replace("<module:str>", "hub.js")
            got, head = await its.ask(url), await its.client.head(url)
            assert head.status_code == got.status_code, path
            assert not head.content
            if path != "/metrics":  # which counts these requests
                same = {"content-type", "content-length", "cache-control", "etag"}
                if got.is_stream_consumed and b'"lag":' in got.content:  # of some digits
                    same.remove("content-length")
                for name in same & got.headers.keys():
                    assert head.headers[name] == got.headers[name], (path, name)
        assert not its.gateway.hub.streams

    async def test_options_tell_what_is_allowed(self, its: Running, caplog):
        """Of a path, and of the server; a path that is not there has no options."""
        for path, allowed in (
            ("/api/tts", "POST, OPTIONS"),
            ("/health", "GET, HEAD, OPTIONS"),
            ("/events", "GET, HEAD, OPTIONS"),
        ):
            answer = await its.client.options(path)
            assert (answer.status_code, answer.headers["allow"]) == (204, allowed)
            refused = await its.client.request("PUT", path)
            assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
        assert (await its.client.options("/nowhere")).status_code == HTTPStatus.NOT_FOUND
        # A body is read and ignored: Sanic would take one that is left for a fault of ours.
        answer = await its.client.request("OPTIONS", "/health", content=b"something")
        assert answer.status_code == 204
        assert not [record for record in caplog.records if record.levelname == "ERROR"]
        raw = await answer_to(its, b"OPTIONS * HTTP/1.1\r\n" + LOCAL + b"\r\n")
        assert status(raw) == HTTPStatus.NO_CONTENT
        assert b"GET, HEAD, POST, DELETE, OPTIONS" in raw

    async def test_nobody_keeps_or_guesses_them(self, its: Running):
        """Answers of the API, health, metrics and errors are neither cached nor sniffed."""
        answers = [
            await its.client.get(url)
            for url in ("/api/stats", "/health", "/metrics", "/system", "/nowhere", "/ws")
        ]
        answers.append(await its.client.post("/api/tts", json={}))
        answers.append(await its.client.put("/api/tts"))
        answers.append(await its.client.get("/health", headers={"Host": "evil.test"}))
        for answer in answers:
            assert answer.headers["x-content-type-options"] == "nosniff", answer.url
            assert answer.headers["cache-control"] == "no-store", answer.url

    async def test_bodies(self, tmp_path: Path):
        """A mark before the JSON is no part of it; what is compressed is refused and not read."""
        body = json.dumps(BODY).encode()
        json_type = {"Content-Type": "application/json"}
        async with running(tmp_path) as its:
            marked = await its.client.post("/api/tts", content=BOM_UTF8 + body, headers=json_type)
            assert marked.status_code == HTTPStatus.ACCEPTED
            coded = json_type | {"Content-Encoding": "gzip"}
            packed = await its.client.post("/api/tts", content=gzip.compress(body), headers=coded)
            assert packed.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
            assert "Content-Encoding" in packed.json()["error"]

    async def test_an_empty_task_is_not_all_tasks(self, its: Running):
        """A page that has no id yet hears an error, and not of everybody."""
        assert (await its.ask("/events?taskId=")).status_code == HTTPStatus.NOT_FOUND

    async def test_the_docs_link_what_lies_beside_them(self, its: Running):
        """Also behind a proxy that serves them below a path."""
        assert 'href="openapi.json"' in (await its.client.get("/docs")).text
        assert 'href="../openapi.json"' in (await its.client.get("/docs/reference")).text


class TestConnections:
    async def test_an_address_has_no_more_than_it_may(self, tmp_path: Path):
        """Its oldest idle one goes for a new one; streams do not count."""
        async with running(tmp_path, connections_per_address=5) as its:
            async with its.stream():
                opened = [
                    await asyncio.open_connection("127.0.0.1", its.settings.port) for _ in range(20)
                ]
                reader, writer = opened[-1]
                writer.write(b"GET /health HTTP/1.1\r\n" + LOCAL + b"\r\n")
                async with asyncio.timeout(SECONDS):
                    await reader.readuntil(b"\r\n\r\n")
                    for old, _ in opened[:15]:
                        assert await old.read() == b"", "an old one is still open"
            for _, writer in opened:
                writer.close()

    async def test_busy_ones_are_left_alone(self, tmp_path: Path):
        """Who has begun a request keeps the connection, and others wait outside."""
        async with running(tmp_path, connections_per_address=3) as its:
            begun = [
                await asyncio.open_connection("127.0.0.1", its.settings.port) for _ in range(3)
            ]
            for _, writer in begun:
                writer.write(b"GET /health HT")
            door = its.gateway._app.ctx.door
            await until(lambda: _begun(door) == 3, "all have begun")
            outside, away = await asyncio.open_connection("127.0.0.1", its.settings.port)
            async with asyncio.timeout(SECONDS):
                with contextlib.suppress(ConnectionResetError):
                    assert await outside.read() == b""
                away.close()
                for reader, writer in begun:
                    writer.write(b"TP/1.1\r\n" + LOCAL + b"\r\n")
                    assert status(await reader.readuntil(b"\r\n\r\n")) == HTTPStatus.OK
                    writer.close()


def _begun(door: Door) -> int:
    return sum(
        arriving_request(each) is not None
        for others in door._of_address.values()
        for each in others
    )
