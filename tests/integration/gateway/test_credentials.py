"""What a key lends, until when, and who hears of it when a credential is refused."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from itsdangerous import URLSafeTimedSerializer
from prometheus_client import REGISTRY
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway import security, session
from gateway.access import failures, keys
from gateway.access.failures import FAILURES_A_MINUTE, Failures
from gateway.access.keyring import LOOK_SECONDS
from gateway.access.roles import Need, Role
from gateway.security import RECORDS_A_WINDOW, Event, Sample
from gateway.services import Webhooks
from tests.integration.gateway.gateway_under_test import (
    BODY,
    Clock,
    Running,
    fail,
    running,
)
from tests.integration.gateway.guarded_gateway import Guarded, becomes, guarded
from tests.integration.gateway.socket_client import Client, client_of
from tests.waiting import SECONDS, until
from tts import client as python
from tts.config import ConfigError
from tts.replicate.webhook_secret import GivenSecret
from tts.store.memory import LocalSignals

QUIET = {"sse_heartbeat_interval_ms": 600_000}  # nothing is due but what is tested
TOKENS = {"stream_token_seconds": 60}
MINUTE = timedelta(minutes=1)
COMMANDS = ("generate", "retry", "cancel")


@contextlib.asynccontextmanager
async def stranger(site: Guarded) -> AsyncIterator[Client]:
    """A connection of somebody who has not said who it is."""
    url = f"ws://127.0.0.1:{site.its.settings.port}/ws"
    async with connect(url, proxy=None) as connection:
        yield Client(connection)


def key_of(site: Guarded, who: str) -> str:
    return site.headers[who]["Authorization"].removeprefix("Bearer ")


def count(event: Event) -> float:
    return REGISTRY.get_sample_value("tts_security_events_total", {"event": event.value}) or 0.0


class TestTokens:
    """A token stands in a URL, which ends up in histories and logs: it can do little."""

    async def test_follow_and_open_nothing_else(self, site: Guarded):
        """Streams and sockets; no audio, and none of the routes that answer a key."""
        task_id = await site.task("succeeded")
        token = await site.token("admin")
        events = f"/events?taskId={task_id}&token={token}"
        assert await site.status("none", "GET", events) == 200
        async with client_of(site.its, f"?token={token}") as client:
            await client.ask("subscribe", taskIds=[str(task_id)])
            assert (await client.updates(1))[0]["taskId"] == str(task_id)
        audio = await site.its.client.get(f"/audio/audio-{task_id}.wav?token={token}")
        assert (audio.status_code, audio.json()["code"]) == (403, "forbidden")
        assert '"scope": "audio"' in audio.json()["error"]
        needs = site.its.gateway._app.ctx.needs
        closed = {
            (method, path)
            for (method, path), need in needs.items()
            if need in {Need.READ, Need.COMMAND, Need.OPERATE}
        }
        assert len(closed) > 10
        for method, path in closed:
            url = path.replace("<task_id:str>", str(task_id))
            assert await site.status("none", method, f"{url}?token={token}") == 401
        bearer = {"Authorization": f"Bearer {token}"}
        assert await site.status("none", "GET", "/events", headers=bearer) == 401

    @pytest.mark.parametrize("kind", COMMANDS)
    async def test_command_nothing_unless_asked_for_with_that_scope(self, site: Guarded, kind: str):
        """Not even an admin's; the refusal says what to do."""
        task_id = str(await site.task("failed" if kind == "retry" else ""))
        position = await site.its.store.position()
        async with client_of(site.its, f"?token={await site.token('admin')}") as client:
            refused = await client.ask(kind, **BODY, taskId=task_id)
            assert refused["code"] == "forbidden"
            assert "authenticate" in refused["error"]
            assert '"scope": "command"' in refused["error"]
        assert await site.its.store.position() == position
        token = await site.token("app", scope="command")
        body = BODY if kind == "generate" else {"taskId": task_id}
        async with client_of(site.its, f"?token={token}") as client:
            assert (await client.ask(kind, **body))["type"] == "ack"

    async def test_to_command_are_for_keys_that_may(self, site: Guarded):
        """A dashboard gets none, and over HTTP they command nothing."""
        order = {"scope": "command"}
        assert await site.status("dashboard", "POST", "/api/stream-token", json=order) == 403
        token = await site.token("app", **order)
        assert await site.status("none", "POST", f"/api/tts?token={token}", json=BODY) == 401

    async def test_for_audio_open_that_one(self, site: Guarded):
        """No other audio of the same owner, nobody else's, no stream and no socket."""
        one, other = [f"audio-{await site.task('succeeded')}.wav" for _ in range(2)]
        token = await site.token("app", scope="audio", object=one)
        assert await site.status("none", "GET", f"/audio/{one}?token={token}") == 200
        assert await site.status("none", "GET", f"/audio/{other}?token={token}") == 403
        assert await site.status("none", "GET", f"/events?token={token}") == 403
        with pytest.raises(InvalidStatus, match="403"):
            async with client_of(site.its, f"?token={token}"):
                pass
        foreign = await site.token("other owner", scope="audio", object=one)
        assert await site.status("none", "GET", f"/audio/{one}?token={foreign}") == 404

    @pytest.mark.parametrize(
        "order", [{"scope": "all"}, {"scope": "audio"}, {"object": "a.wav"}, [], "x"]
    )
    async def test_are_asked_for_in_words_that_exist(self, site: Guarded, order: Any):
        """Anything else is refused, and no wider token given instead."""
        assert await site.status("app", "POST", "/api/stream-token", json=order) == 400

    async def test_cannot_be_made_up(self, site: Guarded):
        """Another signature, another content, or one as they were signed before."""
        token = await site.token("app")
        content, signature = token.split(".")
        assert len(signature) == 43  # HMAC-SHA256 in base64
        secret = json.loads(site.file.read_bytes())["streamSecret"]
        old = URLSafeTimedSerializer(secret, salt="tts-stream-token").dumps(site.key_id("app"))
        for forged in (
            f"{content}.{'a' if signature[0] != 'a' else 'b'}{signature[1:]}",
            f"{'a' if content[0] != 'a' else 'b'}{content[1:]}.{signature}",
            content,
            old,
            "%00",
        ):
            assert await site.status("none", "GET", f"/events?token={forged}") == 401

    async def test_are_good_at_every_gateway_with_the_same_keys(
        self, site: Guarded, tmp_path: Path
    ):
        """The next connection may be to another process."""
        async with (
            running(tmp_path / "b", tts_api_keys_file=site.file) as second,
            second.stream(f"token={await site.token('app')}") as stream,
        ):
            await stream.of("connected")

    async def test_are_handed_out_where_no_keys_are(self, its: Running):
        """A client need not know whether there are keys."""
        token = (await its.client.post("/api/stream-token")).json()["data"]["token"]
        async with its.stream(f"token={token}") as stream:
            await stream.of("connected")
        async with client_of(its) as client:
            assert (await client.ask("authenticate", key="tts_x"))["data"] == {"expiresAt": None}
            assert (await client.ask("generate", **BODY))["type"] == "ack"


class TestAuthenticate:
    """A socket may be opened first and say then who it is."""

    async def test_gives_what_the_key_may(self, tmp_path: Path):
        """A browser commands without a token in a URL."""
        async with guarded(tmp_path, **QUIET) as site, stranger(site) as client:
            await client.connection.send(
                json.dumps({"type": "authenticate", "id": 7, "key": key_of(site, "app")})
            )
            assert (await client.next())["type"] == "connected"
            ack = {"type": "ack", "id": 7, "data": {"expiresAt": None}}
            assert await client.next() == ack
            task_id = (await client.ask("generate", **BODY))["data"]["taskId"]
            await client.ask("subscribe", **{"from": "start"})
            assert (await client.updates(1))[0]["taskId"] == task_id
            assert await site.status("other owner", "GET", f"/api/tts/task/{task_id}") == 404

    @pytest.mark.parametrize(
        "message",
        [
            {"type": "subscribe", "id": 1, "from": "start"},
            {"type": "generate", "id": 1, **BODY, "key": "<right>"},
            {"type": "authenticate", "id": 1},
            {"type": "authenticate", "id": 1, "key": "tts_00000000_x"},
            {"type": "authenticate", "id": 1, "token": "x.y"},
        ],
    )
    async def test_comes_first_and_is_right(self, site: Guarded, message: dict[str, Any]):
        """Anything else is answered and ends the connection; nothing is shown, nothing done."""
        await site.task()
        position = await site.its.store.position()
        async with stranger(site) as client:
            text = json.dumps(message).replace("<right>", key_of(site, "app"))
            await client.connection.send(text)
            refused = await client.next()
            assert (refused["type"], refused["id"]) == ("error", 1)
            assert (await client.closed())[0] == 1008
        assert await site.its.store.position() == position

    async def test_comes_soon(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        """A connection that says nothing is closed."""
        monkeypatch.setattr(session, "STRANGER_SECONDS", 0.2)
        async with guarded(tmp_path) as site, stranger(site) as client:
            code, reason = await client.closed()
            assert (code, "authenticate" in reason) == (1008, True)

    async def test_lets_a_reader_command_but_not_become_another(self, tmp_path: Path):
        """What is subscribed already belongs to the owner of the first credential."""
        async with (
            guarded(tmp_path, **QUIET) as site,
            client_of(site.its, f"?token={await site.token('app')}") as client,
        ):
            for wrong in (key_of(site, "other owner"), key_of(site, "admin")):
                assert (await client.ask("authenticate", key=wrong))["code"] == "forbidden"
            wrong = await client.ask("authenticate", key=key_of(site, "invented"))
            assert wrong["code"] == "unauthorized"
            assert (await client.ask("generate", **BODY))["code"] == "forbidden"
            await client.ask("authenticate", key=key_of(site, "app"))
            assert (await client.ask("generate", **BODY))["type"] == "ack"

    async def test_counts_for_the_streams_of_the_key(self, tmp_path: Path):
        """Nobody gets more places by saying late who he is."""
        async with guarded(tmp_path, streams_per_key=1) as site:
            async with site.its.stream("", dict(site.headers["app"])), stranger(site) as client:
                message = {"type": "authenticate", "id": 1, "key": key_of(site, "app")}
                await client.connection.send(json.dumps(message))
                assert (await client.next())["code"] == "too_many_streams"
            await becomes(lambda: site.status("app", "GET", "/events"), 200)


class TestEnds:
    """What a credential opened ends when it does."""

    async def test_a_stream_ends_with_its_token(self, tmp_path: Path, clock: Clock):
        """Its last words say why, and the token does not open it again."""
        async with guarded(tmp_path, **TOKENS, **QUIET) as site:
            url = f"/events?token={await site.token('app')}"
            reading = asyncio.create_task(site.its.client.get(url))
            await until(lambda: site.its.gateway.hub.streams, "it is open")
            clock.now += MINUTE
            body = (await reading).text
            assert "\n: the token has ended" in body
            assert body.endswith("retry: 2000\n\n")
            assert await site.status("none", "GET", url) == 401

    async def test_a_socket_ends_with_its_token(self, tmp_path: Path, clock: Clock):
        """1008, and the reason; up to then it did what it may, and after it nothing."""
        async with guarded(tmp_path, **TOKENS, **QUIET) as site:
            token = await site.token("app", scope="command")
            async with client_of(site.its, f"?token={token}") as client:
                assert (await client.ask("generate", **BODY))["type"] == "ack"
                clock.now += MINUTE
                code, reason = await client.closed()
                assert code == 1008
                assert "token has ended" in reason
            with pytest.raises(InvalidStatus, match="401"):
                async with client_of(site.its, f"?token={token}"):
                    pass

    async def test_a_socket_goes_on_with_the_next_token(self, tmp_path: Path, clock: Clock):
        """Shown in time, it keeps the connection: no gap, no new subscription."""
        async with (
            guarded(tmp_path, **TOKENS, **QUIET) as site,
            client_of(site.its, f"?token={await site.token('app')}") as client,
        ):
            await client.ask("subscribe")
            for _ in range(3):
                clock.now += MINUTE * 0.7
                token = await site.token("app")
                ends = (await client.ask("authenticate", token=token))["data"]["expiresAt"]
                assert datetime.fromisoformat(ends) == clock.now + MINUTE
                task_id = await site.task()
                assert (await client.updates(1))[0]["taskId"] == str(task_id)
            clock.now += MINUTE
            assert (await client.closed())[0] == 1008

    async def test_with_a_key_that_expires(self, tmp_path: Path, clock: Clock):
        """Streams, sockets, and the tokens that were made of it."""
        async with guarded(tmp_path, **QUIET) as site:
            soon = clock.now + MINUTE
            _, text = keys.add(site.file, owner="shop", role=Role.APP, expires=soon)
            headers = {"Authorization": f"Bearer {text}"}

            async def status() -> int:
                return await site.status("none", "POST", "/api/stream-token", headers=headers)

            await becomes(status, 200)
            answer = await site.its.client.post("/api/stream-token", headers=headers)
            assert datetime.fromisoformat(answer.json()["data"]["expiresAt"]) == soon
            async with (
                site.its.stream("", headers) as stream,
                client_of(site.its, additional_headers=headers) as client,
            ):
                clock.now = soon
                code, reason = await client.closed()
                assert (code, reason) == (1008, "the key has expired")
                await stream.rest()
            assert await status() == 401

    async def test_no_message_is_heard_after_the_end(
        self, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ):
        """Each one asks again, and does not wait for somebody to look."""
        monkeypatch.setattr("gateway.streams.credentials.LOOK_SECONDS", 600)
        async with guarded(tmp_path, **TOKENS, **QUIET) as site:
            token = await site.token("app", scope="command")
            async with client_of(site.its, f"?token={token}") as client:
                clock.now += MINUTE - timedelta(microseconds=1)
                assert (await client.ask("generate", **BODY))["type"] == "ack"
                position = await site.its.store.position()
                clock.now += timedelta(microseconds=1)
                with pytest.raises(ConnectionClosed):
                    await client.ask("generate", **BODY)
                assert (await client.closed())[0] == 1008
            assert await site.its.store.position() == position


class TestRevocation:
    async def test_ends_every_stream_of_the_key_within_a_second(self, tmp_path: Path):
        """However many there are, and however quiet the gateway; the others stay."""
        assert LOOK_SECONDS < 1
        limits = {"streams_per_key": 300, "streams_per_address": 300}
        async with (
            guarded(tmp_path, **limits, **QUIET) as site,
            contextlib.AsyncExitStack() as all_,
        ):
            headers = dict(site.headers["app"])
            token = await site.token("app")
            streams = [
                await all_.enter_async_context(site.its.stream("", headers)) for _ in range(100)
            ] + [
                await all_.enter_async_context(site.its.stream(f"token={token}")) for _ in range(50)
            ]
            sockets = [
                await all_.enter_async_context(client_of(site.its, additional_headers=headers))
                for _ in range(20)
            ]
            other = await all_.enter_async_context(
                client_of(site.its, additional_headers=dict(site.headers["other owner"]))
            )
            site.revoke("app")
            closed = await asyncio.gather(*(client.closed() for client in sockets))
            await asyncio.gather(*(stream.rest() for stream in streams))
            assert closed == [(1008, "the key is revoked")] * len(sockets)
            assert (await other.ask("ping"))["type"] == "pong"

    async def test_ends_a_python_client_with_the_reason(self, tmp_path: Path):
        """It comes back, is refused, and says so."""
        async with guarded(tmp_path, **QUIET) as site:
            api_key = key_of(site, "app")
            async with python.AsyncClient(site.its.gateway.url, api_key=api_key) as client:
                task_id = await site.task()
                updates = client.events(str(task_id))
                await anext(updates)
                site.revoke("app")
                async with asyncio.timeout(SECONDS):
                    with pytest.raises(python.TTSError, match="revoked") as refused:
                        await anext(updates)
                assert refused.value.code == "unauthorized"

    async def test_ends_what_still_reads_history(self, tmp_path: Path):
        """A stream that has not caught up yet is no exception."""
        async with (
            guarded(tmp_path, **QUIET) as site,
            site.its.stream("from=start", dict(site.headers["app"])) as stream,
        ):
            site.revoke("app")
            await stream.rest()

    async def test_is_noticed_by_requests_and_so_is_a_new_key(self, site: Guarded):
        """Without a restart; both are told to the operator."""
        before = [count(event) for event in (Event.KEY_ADDED, Event.KEY_REVOKED)]
        key, text = keys.add(site.file, owner="new", role=Role.APP, expires=None)
        headers = {"Authorization": f"Bearer {text}"}

        async def status() -> int:
            return await site.status("none", "GET", "/api/tts/tasks", headers=headers)

        await becomes(status, 200)
        keys.revoke(site.file, key.id)
        await becomes(status, 401)
        after = [count(event) for event in (Event.KEY_ADDED, Event.KEY_REVOKED)]
        assert after == [n + 1 for n in before]


class TestTheFile:
    @pytest.mark.parametrize("trouble", ["broken", "taken away"])
    async def test_that_cannot_be_read_locks_nobody_out_and_is_seen(
        self, site: Guarded, tmp_path: Path, caplog: pytest.LogCaptureFixture, trouble: str
    ):
        """The keys stay as they were; health and a metric say so until it is back."""
        good = site.file.read_bytes()
        if trouble == "broken":
            site.file.write_text("{")
        else:
            site.file.rename(tmp_path / "away")

        async def notes() -> list[str]:
            answer = await site.its.client.get("/health")
            assert answer.status_code == 200
            return answer.json()["data"].get("notes", [])

        async def is_noted() -> bool:
            return any("TTS_API_KEYS_FILE" in note for note in await notes())

        await until(is_noted, "a note")
        assert str(tmp_path) not in str(await notes())
        assert REGISTRY.get_sample_value("tts_keys_file_readable") == 0
        assert await site.status("app", "GET", "/api/tts/tasks") == 200
        assert await site.status("invented", "GET", "/api/tts/tasks") == 401
        assert caplog.text.count("The keys stay as they were") == 1
        site.file.write_bytes(good)
        await becomes(notes, [])
        assert REGISTRY.get_sample_value("tts_keys_file_readable") == 1

    @pytest.mark.parametrize("owner", ["a\x1b[31m", "a\nb", "a\x9b", "a\u202eb", ""])
    def test_holds_no_owner_that_commands_a_terminal(self, tmp_path: Path, owner: str):
        """Names are printed in many places."""
        with pytest.raises(ConfigError, match="owner"):
            keys.add(tmp_path / "keys.json", owner=owner, role=Role.APP, expires=None)


def no_time_passes(site: Guarded) -> None:
    """In which a failure would be forgiven."""
    site.its.gateway._app.ctx.admission._credentials._failures._clock = lambda: 1000.0


class TestThrottle:
    """Who guesses is refused unread after a while; who knows is heard."""

    async def test_wrong_keys_of_an_address(self, tmp_path: Path):
        """The 21st in a minute gets 429; another address is not concerned, nor a right key."""
        async with guarded(tmp_path, proxies_count=1) as site:
            no_time_passes(site)
            url, here = "/api/tts/tasks", {"X-Forwarded-For": "192.0.2.77"}
            wrong = {"Authorization": "Bearer tts_00000000_wrong", **here}
            for _ in range(FAILURES_A_MINUTE):
                assert await site.status("none", "GET", url, headers=wrong) == 401
            refused = await site.its.client.get(url, headers=wrong)
            assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            assert await site.status("invented", "GET", url, headers=here) == 429
            token = await site.token("app")
            for query, status in ((token, 200), (token[:-3] + "abc", 429)):
                assert (
                    await site.status("none", "GET", f"/events?token={query}", headers=here)
                    == status
                )
            assert await site.status("app", "GET", url, headers=here) == 200
            assert await site.status("revoked", "GET", url, headers=here) == 401
            there = wrong | {"X-Forwarded-For": "192.0.2.78"}
            assert await site.status("none", "GET", url, headers=there) == 401

    async def test_over_sockets_as_well(self, site: Guarded):
        """Neither first messages nor later ones are a way around it."""
        no_time_passes(site)
        async with client_of(site.its, additional_headers=site.headers["app"]) as client:
            for _ in range(FAILURES_A_MINUTE):
                await client.ask("authenticate", key="tts_00000000_wrong")
            refused = await client.ask("authenticate", key="tts_00000000_wrong")
            assert refused["code"] == "rate_limited"
            assert (await client.ask("authenticate", key=key_of(site, "app")))["type"] == "ack"

    def test_drains_and_is_bounded(self, monkeypatch: pytest.MonkeyPatch):
        """A failure is forgiven every three seconds; of IPv6 a whole /64 counts."""
        monkeypatch.setattr(failures, "ADDRESSES_MAX", 100)
        now = 1000.0
        tried = Failures(clock=lambda: now)
        for _ in range(FAILURES_A_MINUTE):
            assert tried.wait("2001:db8::1") == 0
            tried.count("2001:db8::1")
        assert tried.wait("2001:db8::ffff") == pytest.approx(3)
        assert tried.wait("2001:db8:0:1::1") == 0
        now += 3
        assert tried.wait("2001:db8::2") == 0
        for n in range(1000):
            tried.count(f"192.0.2.{n}")
        assert len(tried._empty_at) == 100


class TestSecurityEvents:
    """An attack can be seen, by whom and from where; no secret is in what is written."""

    async def test_tell_of_what_was_refused_and_of_what_admins_do(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        """Each with the key's id, the address and the route."""
        caplog.set_level(logging.INFO, "gateway.security")
        address = "198.51.100.9"
        async with guarded(tmp_path, proxies_count=1) as site:
            here = {"X-Forwarded-For": address}
            task_id = str(await site.task())
            failed = str(await site.task("failed"))
            order = {"taskIds": [failed], "reason": "known"}
            for who, method, url, body in (
                ("invented", "GET", "/api/tts/tasks", None),
                ("dashboard", "POST", "/api/tts", BODY),
                ("admin", "POST", "/api/tts/cancel", {"taskId": task_id}),
                ("admin", "POST", "/api/dead-letters/dismiss", order),
                ("admin", "DELETE", f"/api/tts/task/{failed}", None),
                ("app", "POST", "/api/tts/cancel", {"taskId": task_id}),
            ):
                await site.status(who, method, url, json=body, headers=here)
            refused = f"/events?token={(await site.token('app'))[:-3]}abc"
            await site.status("none", "GET", refused, headers=here)
            records = [r for r in caplog.records if r.name == "gateway.security"]
            told = [
                (r.event, getattr(r, "key_id", ""), getattr(r, "address", ""), r.route)
                for r in records
                if r.event != Event.KEY_ADDED
            ]
            app, ops, admin = map(site.key_id, ("app", "dashboard", "admin"))
            assert told == [
                ("credential_refused", app, address, "/api/tts/tasks"),
                ("forbidden", ops, address, "/api/tts"),
                ("admin_command", admin, address, "cancel"),
                ("admin_command", admin, address, "dismiss"),
                ("admin_command", admin, address, "erase"),
                ("credential_refused", "", address, "/events"),
            ]
            written = repr([vars(record) for record in records])
            for headers in site.headers.values():
                assert headers.get("Authorization", "none").split("_", 2)[-1] not in written

    async def test_tell_of_strangers_at_the_door(self, tmp_path: Path):
        """A foreign name, and a webhook that Replicate did not sign."""
        secret = GivenSecret("whsec_" + base64.b64encode(b"x" * 24).decode())
        webhooks = Webhooks(secret, LocalSignals())
        async with running(tmp_path, webhooks=webhooks) as its:
            before = [count(event) for event in (Event.FOREIGN_HOST, Event.BAD_SIGNATURE)]
            await its.client.get("/api/tts/tasks", headers={"Host": "evil.test"})
            await its.client.post("/webhooks/replicate", json={"id": "p", "status": "failed"})
            after = [count(event) for event in (Event.FOREIGN_HOST, Event.BAD_SIGNATURE)]
            assert after == [n + 1 for n in before]

    async def test_tell_of_sockets(self, tmp_path: Path):
        """What is refused there is not hidden by the handshake's success."""
        before = count(Event.FORBIDDEN)
        async with (
            guarded(tmp_path) as site,
            client_of(site.its, additional_headers=site.headers["dashboard"]) as client,
        ):
            await client.ask("generate", **BODY)
        assert count(Event.FORBIDDEN) == before + 1

    async def test_are_counted_from_the_start(self, site: Guarded):
        """Each kind is there with zero, so that the first one is an increase."""
        text = (await site.its.client.get("/metrics", headers=site.headers["admin"])).text
        for event in Event:
            assert f'tts_security_events_total{{event="{event}"}}' in text

    def test_are_sampled(self, monkeypatch: pytest.MonkeyPatch):
        """A flood from an address fills no disk, hides nobody else's, and is summed up."""
        monkeypatch.setattr(security, "ADDRESSES_MAX", 5)
        now = 0.0
        sample = Sample(clock=lambda: now)

        def written(address: str, times: int) -> int:
            return sum(sample.takes(Event.FORBIDDEN, address) for _ in range(times))

        assert written("a", 500) == RECORDS_A_WINDOW
        assert written("b", 3) == 3
        assert sum(written(f"flood {n}", 1) for n in range(500)) < 20
        now = 61.0
        assert (Event.FORBIDDEN, "a", 500 - RECORDS_A_WINDOW) in sample.over()
        assert written("a", 1) == 1


class TestReasons:
    @pytest.mark.parametrize("order", ["redrive", "dismiss"])
    @pytest.mark.parametrize("reason", ["\x1b[2Jgone", "a\nb", "a\x9b31m", "a\u202eb", "a\x7f", ""])
    async def test_are_one_plain_line(self, site: Guarded, order: str, reason: str):
        """They are shown in an operator's terminal."""
        task_id = await site.task()
        await fail(site.its.application, task_id, permanent=True)
        position = await site.its.store.position()
        answer = await site.its.client.post(
            f"/api/dead-letters/{order}",
            json={"taskIds": [str(task_id)], "reason": reason},
            headers=site.headers["app"],
        )
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("reason: ")
        assert await site.its.store.position() == position
