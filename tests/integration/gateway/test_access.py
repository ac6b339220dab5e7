"""Who may do what, and how much of it: every route against every kind of client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner

from gateway.access import keys
from gateway.access.limits import RateLimit
from gateway.access.roles import Quota, Role
from gateway.static_files import FILES
from tests.integration.gateway.gateway_under_test import (
    BODY,
    Running,
    accept,
    fail,
    running,
)
from tests.integration.gateway.guarded_gateway import Guarded, becomes, guarded
from tests.integration.gateway.socket_client import client_of
from tests.read_models import caught_up
from tests.waiting import SECONDS
from tts.cli.commands import main
from tts.config import ConfigError, load
from tts.ports.log import Recorded

EVERYWHERE = "0.0.0.0"  # noqa: S104 -- the start with it is refused
CLIENTS = ("none", "invented", "expired", "revoked", "other owner", "app", "dashboard", "admin")


# --- the matrix

NOBODY = dict.fromkeys(("none", "invented", "expired", "revoked"), 401)


def expect(other: int, app: int, dashboard: int, admin: int) -> dict[str, int]:
    return NOBODY | {"other owner": other, "app": app, "dashboard": dashboard, "admin": admin}


def everybody(status: int) -> dict[str, int]:
    return dict.fromkeys(CLIENTS, status)


@dataclass(frozen=True)
class Row:
    """A request for one route and what each client is answered; ``task`` is the end it needs."""

    expected: Mapping[str, int]
    body: Mapping[str, Any] | None = None
    task: str | None = None
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
ALL = {"filter": {}, "reason": "tidying up"}
OWN = expect(404, 200, 200, 200)
ROWS: dict[tuple[str, str], Row] = {
    ("GET", "/"): Row(everybody(200)),
    ("GET", "/docs"): Row(everybody(200)),
    ("GET", "/docs/reference"): Row(everybody(200)),
    ("GET", "/docs/ui/<file:str>"): Row(everybody(200)),
    ("GET", "/page/<module:str>"): Row(everybody(200)),
    ("GET", "/openapi.json"): Row(everybody(200)),
    ("GET", "/health"): Row(everybody(200)),
    ("GET", "/api/stats"): Row(expect(403, 403, 200, 200)),
    ("GET", "/api/stats/series"): Row(expect(200, 200, 200, 200)),
    ("GET", "/api/templates"): Row(expect(200, 200, 200, 200)),
    ("GET", "/api/usage"): Row(expect(200, 200, 200, 200)),
    ("GET", "/system"): Row(expect(403, 403, 200, 200)),
    ("GET", "/metrics"): Row(expect(403, 403, 200, 200)),
    ("POST", "/api/stream-token"): Row(expect(200, 200, 200, 200)),
    ("GET", "/api/me"): Row(expect(200, 200, 200, 200)),
    ("GET", "/api/failures"): Row(expect(200, 200, 200, 200)),
    ("POST", "/api/tts"): Row(expect(202, 202, 403, 202), body=BODY),
    ("POST", "/api/tts/retry"): Row(expect(404, 202, 403, 202), body={}, task="failed"),
    ("POST", "/api/tts/cancel"): Row(expect(404, 202, 403, 202), body={}, task=""),
    ("GET", "/api/tts/task/<task_id:str>"): Row(OWN, task=""),
    ("DELETE", "/api/tts/task/<task_id:str>"): Row(expect(404, 200, 403, 200), task="failed"),
    ("GET", "/api/tts/task/<task_id:str>/events"): Row(OWN, task=""),
    ("GET", "/api/tts/tasks"): Row(expect(200, 200, 200, 200)),
    ("GET", "/api/webhooks/secret"): Row(expect(200, 200, 403, 200)),
    ("GET", "/api/dead-letters"): Row(expect(200, 200, 200, 200)),
    ("GET", "/api/dead-letters/<task_id:str>"): Row(OWN, task="failed"),
    ("POST", "/api/dead-letters/redrive"): Row(expect(200, 200, 403, 200), body=ALL),
    ("POST", "/api/dead-letters/dismiss"): Row(expect(200, 200, 403, 200), body=ALL),
    ("GET", "/audio/<key:str>"): Row(OWN, task="succeeded"),
    ("GET", "/events"): Row(OWN, task="", query="?taskId={}"),
    ("POST", "/webhooks/replicate"): Row(everybody(404), body={"id": "p", "status": "failed"}),
    ("GET", "/ws"): Row(expect(101, 101, 101, 101) | {"none": 101}, headers=HANDSHAKE),
} | {("GET", path): Row(everybody(200)) for path in FILES}


class TestMatrix:
    async def test_every_route_is_in_it(self, site: Guarded):
        """A route that nobody has thought about fails here."""
        assert set(site.its.gateway._app.ctx.needs) == set(ROWS)

    @pytest.mark.parametrize("route", ROWS, ids=" ".join)
    async def test_each_client_gets_what_it_may(self, tmp_path: Path, route: tuple[str, str]):
        """Nobody reads or commands what is not his, whatever the route."""
        method, path = route
        row = ROWS[route]
        async with guarded(tmp_path) as site:
            answered = {}
            for who in CLIENTS:
                task_id = str(await site.task(row.task)) if row.task is not None else ""
                url = path.replace("<task_id:str>", task_id) + row.query.format(task_id)
                url = url.replace("<key:str>", f"audio-{task_id}.wav")
                url = url.replace("<module:str>", "statuses.js").replace("<file:str>", "docs.js")
                body = row.body
                if body == {}:
                    body = {"taskId": task_id}
                answered[who] = await site.status(who, method, url, json=body, headers=row.headers)
            assert answered == dict(row.expected)

    async def test_a_refusal_says_so_and_how(self, site: Guarded):
        """401 names the scheme; none of the answers tells a key."""
        for who in NOBODY:
            answer = await site.its.client.post("/api/tts", json=BODY, headers=site.headers[who])
            assert answer.json()["code"] == "unauthorized"
            assert answer.headers["www-authenticate"].startswith("Bearer")
        basic = await site.its.client.get("/api/tts/tasks", headers={"Authorization": "Basic dTpw"})
        assert basic.json()["code"] == "unauthorized"
        assert await site.its.store.position() == 0


class TestMe:
    async def test_a_key_learns_what_it_may_without_trying(self, site: Guarded):
        """Whose it is, its role and whose tasks it sees; what is said is what a route grants."""
        seen = {}
        for who in ("app", "dashboard", "admin"):
            answer = await site.its.client.get("/api/me", headers=site.headers[who])
            seen[who] = me = answer.json()["data"]
            assert me["keyId"] == site.key_id(who)
            posted = await site.status(who, "POST", "/api/tts", json=BODY)
            assert me["mayCommand"] == (posted == 202)
            assert me["mayOperate"] == (await site.status(who, "GET", "/system") == 200)
        told = {who: (me["owner"], me["role"], me["scope"]) for who, me in seen.items()}
        assert told == {
            "app": ("shop", "app", "shop"),
            "dashboard": ("ops", "dashboard", None),
            "admin": ("ops", "admin", None),
        }

    async def test_a_key_that_ends_says_when(self, tmp_path: Path):
        """To the second at which it is refused."""
        ends = datetime(2100, 1, 1, tzinfo=UTC)
        async with guarded(tmp_path) as site:
            _, text = keys.add(site.file, owner="shop", role=Role.APP, expires=ends)
            headers = {"Authorization": f"Bearer {text}"}

            async def end() -> object:
                answer = await site.its.client.get("/api/me", headers=headers)
                return answer.json().get("data", {}).get("expiresAt")

            await becomes(end, ends.isoformat())

    async def test_where_no_keys_are_asked_for_everybody_may_do_everything(self, its: Running):
        """There is no key to name, and no end."""
        me = (await its.client.get("/api/me")).json()["data"]
        assert (me["keyId"], me["expiresAt"], me["scope"]) == (None, None, None)
        assert (me["mayCommand"], me["mayOperate"]) == (True, True)


class TestOwnership:
    @pytest.mark.parametrize(
        ("method", "path", "state"),
        [
            ("POST", "/api/tts/retry", "failed"),
            ("POST", "/api/tts/cancel", ""),
            ("DELETE", "/api/tts/task/{}", "failed"),
        ],
    )
    async def test_is_checked_without_another_look_at_the_log(
        self, site: Guarded, monkeypatch: pytest.MonkeyPatch, method: str, path: str, state: str
    ):
        """A command reads the events of its task once."""
        task_id = await site.task(state)
        reads = []
        read = site.its.store.events

        async def events(task_id: UUID) -> list[Recorded]:
            reads.append(task_id)
            return await read(task_id)

        monkeypatch.setattr(site.its.store, "events", events)
        body = {"taskId": str(task_id)}
        if path.endswith("retry"):
            body |= {"templateId": "t", "tts_text": "x"}
        url = path.format(task_id)
        for who, status in (("other owner", 404), ("app", 200 if "{}" in path else 202)):
            reads.clear()
            assert await site.status(who, method, url, json=body) == status
            assert reads == [task_id]

    async def test_an_idempotency_key_is_the_owners(self, site: Guarded):
        """Two owners who use the same one get a task each."""
        ids = []
        for who in ("app", "other owner", "app"):
            headers = {"Idempotency-Key": "1", **site.headers[who]}
            answer = await site.its.client.post("/api/tts", json=BODY, headers=headers)
            ids.append(answer.json()["data"]["taskId"])
        assert ids[0] == ids[2] != ids[1]

    async def test_the_feed_of_an_app_is_its_owners(self, site: Guarded):
        """History and live updates alike; a dashboard sees everybody's."""
        mine, others = await site.task(), await site.task(owner="bakery")
        headers = site.headers
        async with (
            site.its.stream("from=start", dict(headers["app"])) as own,
            site.its.stream("from=start", dict(headers["dashboard"])) as everything,
        ):
            # What comes live belongs to tasks whose first event is history.
            for task_id in (others, mine):
                await fail(site.its.application, task_id, permanent=True)
            events = [u["taskId"] for u in await everything.updates(8)]
            assert sorted(events) == sorted([str(mine), str(others)] * 4)
            late = await site.task()
            seen = [u["taskId"] for u in await own.updates(5)]
            assert seen == [str(mine)] * 4 + [str(late)]

    async def test_a_quiet_owner_resumes_however_busy_the_others_are(self, tmp_path: Path):
        """What others do takes the cursor along, and not one event of the owner's is skipped."""
        settings = {"sse_heartbeat_interval_ms": 20, "sse_replay_limit": 4}
        async with guarded(tmp_path, **settings) as site:
            headers = dict(site.headers["app"])
            async with site.its.stream("", headers) as stream:
                await stream.of("connected")
                for _ in range(10):
                    await site.task(owner="bakery")
                while (beat := await stream.of("heartbeat")).id != "10":
                    assert beat.id
            mine = await site.task()
            async with site.its.stream("", headers | {"Last-Event-ID": beat.id}) as stream:
                assert (await stream.next()).event == "connected"
                assert (await stream.next()).json()["taskId"] == str(mine)

    async def test_what_others_do_makes_no_cursor_too_old(self, tmp_path: Path):
        """An owner that was away gets what concerns it, in order, of old tasks and new ones."""
        async with guarded(tmp_path, sse_replay_limit=4, projected=True) as site:
            old = await site.task()
            headers = dict(site.headers["app"]) | {"Last-Event-ID": "1"}
            for _ in range(10):
                await site.task(owner="bakery")
            await fail(site.its.application, old, permanent=True)
            new = await site.task()
            await caught_up(site.its.store, site.its.database)
            await site.task(owner="bakery")
            async with site.its.stream("", headers) as stream:
                assert (await stream.next()).event == "connected"
                updates = await stream.updates(4)
                assert [u["taskId"] for u in updates] == [str(old)] * 3 + [str(new)]
                late = await site.task()
                assert (await stream.updates(1))[0]["taskId"] == str(late)
            await caught_up(site.its.store, site.its.database)
            async with site.its.stream("", headers) as stream:  # and that one is too much
                assert (await stream.of("reset")).json()["reason"] == "too_old"

    async def test_an_owners_events_come_in_order_in_a_storm(self, site: Guarded):
        """His updates go out together, with none of another's among them, over either kind."""
        async with (
            site.its.stream("", dict(site.headers["app"])) as own,
            site.its.stream("", dict(site.headers["other owner"])) as theirs,
        ):
            tasks = {"shop": [], "bakery": []}

            async def life(owner: str) -> None:
                tasks[owner].append(str(await site.task("failed", owner)))

            await asyncio.gather(*(life(owner) for owner in ("shop", "bakery") * 20))
            for stream, owner in ((own, "shop"), (theirs, "bakery")):
                updates = await stream.updates(20 * 4)
                positions = [update["position"] for update in updates]
                assert positions == sorted(set(positions))
                assert {update["taskId"] for update in updates} == set(tasks[owner])

    async def test_a_list_is_the_owners(self, tmp_path: Path):
        """Others' tasks are not in it; a dashboard's has all."""
        async with guarded(tmp_path, projected=True) as site:
            mine, others = str(await site.task()), str(await site.task(owner="bakery"))

            async def listed(who: str) -> set[str]:
                answer = await site.its.client.get("/api/tts/tasks", headers=site.headers[who])
                return {task["taskId"] for task in answer.json()["data"]["tasks"]}

            await becomes(lambda: listed("dashboard"), {mine, others})
            assert await listed("app") == {mine}


class TestSockets:
    """Over ``/ws`` a client may do what it may over HTTP, and as much of it."""

    async def test_show_and_command_ones_own_tasks_only(self, site: Guarded):
        """Another's task is not there, whatever the message; all of one's own is one's own."""
        mine, others = str(await site.task("failed")), str(await site.task("failed", "bakery"))
        headers = site.headers["app"]
        async with client_of(site.its, additional_headers=headers) as client:
            for kind in ("retry", "cancel"):
                assert (await client.ask(kind, taskId=others))["code"] == "task_not_found"
            refused = await client.ask("subscribe", taskIds=[mine, others])
            assert refused["code"] == "task_not_found"
            await client.ask("subscribe", **{"from": "start"})
            # What was refused has left nothing behind.
            await fail(site.its.application, await site.task(owner="bakery"), permanent=True)
            late = await site.task()
            seen = [update["taskId"] for update in await client.updates(5)]
            assert seen == [mine] * 4 + [str(late)]

    @pytest.mark.parametrize("kind", ["generate", "retry", "cancel"])
    async def test_of_a_dashboard_command_nothing(self, site: Guarded, kind: str):
        """It sees everybody's tasks and changes none."""
        async with (
            client_of(site.its, additional_headers=site.headers["dashboard"]) as client,
        ):
            task_id = str(await site.task("failed"))
            position = await site.its.store.position()
            assert (await client.ask(kind, **BODY, taskId=task_id))["code"] == "forbidden"
            assert await site.its.store.position() == position
            await client.ask("subscribe", taskIds=[task_id])
            assert (await client.updates(1))[0]["taskId"] == task_id

    async def test_opened_with_a_token_do_what_its_key_may(self, site: Guarded):
        """A browser can show nothing else; the tasks belong to the key's owner."""
        answers = {}
        for who, scope in (("app", "command"), ("dashboard", "stream")):
            token = await site.token(who, scope=scope)
            async with client_of(site.its, f"?token={token}") as client:
                answers[who] = await client.ask("generate", **BODY)
        assert answers["dashboard"]["code"] == "forbidden"
        url = f"/api/tts/task/{answers['app']['data']['taskId']}"
        assert await site.status("app", "GET", url) == 200
        assert await site.status("other owner", "GET", url) == 404

    async def test_messages_count_as_requests(self, tmp_path: Path):
        """A flood of them is refused one by one; the connection stays."""
        async with (
            guarded(tmp_path, rate_limit_per_key=2) as site,
            client_of(site.its, additional_headers=site.headers["app"]) as client,
        ):
            answers = [await client.ask("generate", **BODY) for _ in range(8)]
            refused = [answer for answer in answers if answer["type"] == "error"]
            assert refused
            assert {answer["code"] for answer in refused} == {"rate_limited"}
            assert await site.its.store.position() == len(answers) - len(refused)

            async def kind() -> str:
                return (await client.ask("ping"))["type"]

            await becomes(kind, "pong")

    async def test_take_the_places_of_streams(self, tmp_path: Path):
        """A socket is one of the streams that a key may have open."""
        async with (
            guarded(tmp_path, streams_per_key=1) as site,
            client_of(site.its, additional_headers=site.headers["app"]),
        ):
            answer = await site.its.ask("/events", site.headers["app"])
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")

    async def test_refuse_when_the_queue_is_full(self, tmp_path: Path):
        """As ``POST /api/tts`` does; nothing is recorded."""
        async with (
            running(tmp_path, queue_max_tasks=1, projected=True) as its,
            client_of(its) as client,
        ):
            await accept(its.application, 2)

            async def code() -> str | None:
                return (await client.ask("generate", **BODY)).get("code")

            await becomes(code, "queue_full")
            position = await its.store.position()
            assert await code() == "queue_full"
            assert await its.store.position() == position


class TestStart:
    @pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.1", "tts.example.com"])
    async def test_a_public_address_needs_keys(self, tmp_path: Path, host: str):
        """Nobody opens his account to the world by mistake."""
        with pytest.raises(ConfigError, match="TTS_API_KEYS_FILE"):
            async with running(tmp_path, host=host):
                pass

    async def test_or_the_word_that_it_is_meant(self, tmp_path: Path):
        """TTS_ALLOW_ANONYMOUS=1 opens it to everybody."""
        async with running(tmp_path, host=EVERYWHERE, tts_allow_anonymous=True) as its:
            await its.post()

    async def test_a_missing_file_is_no_open_door(self, tmp_path: Path):
        """The start is refused, with the command that makes it."""
        with pytest.raises(ConfigError, match="tts keys add"):
            async with running(tmp_path, tts_api_keys_file=tmp_path / "nothing"):
                pass


class TestLimits:
    async def test_requests(self, tmp_path: Path):
        """Too many at once get 429 and when to come back; another key is not concerned."""
        async with guarded(tmp_path, rate_limit_per_key=2) as site:
            app, url = site.headers["app"], "/api/tts/tasks"
            answers = await asyncio.gather(
                *(site.its.client.get(url, headers=app) for _ in range(20))
            )
            refused = [answer for answer in answers if answer.status_code == 429]
            assert len(refused) >= 10
            assert refused[0].json()["code"] == "rate_limited"
            assert int(refused[0].headers["retry-after"]) >= 1
            assert await site.status("other owner", "GET", url) == 200
            await becomes(lambda: site.status("app", "GET", url), 200)

    async def test_requests_of_an_address(self, tmp_path: Path):
        """Without keys the address counts; what a proxy that is not ours says does not."""
        async with running(tmp_path, rate_limit_per_address=1) as its:
            forwarded = [{"X-Forwarded-For": f"192.0.2.{n}"} for n in range(10)]
            answers = [await its.client.get("/api/tts/tasks", headers=head) for head in forwarded]
            assert 429 in {answer.status_code for answer in answers}
        limits = {"rate_limit_per_address": 1, "proxies_count": 1, "tts_allow_anonymous": True}
        async with running(tmp_path, **limits) as its:
            answers = [await its.client.get("/api/tts/tasks", headers=head) for head in forwarded]
            assert {answer.status_code for answer in answers} == {200}

    def test_a_bucket_fills_again(self):
        """One second's worth at once, and then one as each part of a second goes by."""
        now = 100.0
        limit = RateLimit(4, clock=lambda: now)

        def granted() -> int:
            count = 0
            with contextlib.suppress(Exception):
                while True:
                    limit.spend("a")
                    count += 1
            return count

        assert granted() == 4
        now += 0.5
        assert granted() == 2
        now += 100
        assert granted() == 4

    @pytest.mark.parametrize("name", ["streams_per_key", "streams_per_address"])
    async def test_streams(self, tmp_path: Path, name: str):
        """One too many gets 429, until another one ends."""
        async with guarded(tmp_path, **{name: 2}) as site:
            app = dict(site.headers["app"])
            async with site.its.stream("", app), contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(site.its.stream("", app))
                answer = await site.its.ask("/events", app)
                assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")
                assert "retry-after" in answer.headers
                await stack.aclose()
                await becomes(lambda: site.status("app", "GET", "/events"), 200)

    async def test_unfinished_tasks(self, tmp_path: Path):
        """A full queue refuses with 503, and nothing is recorded."""
        async with running(tmp_path, queue_max_tasks=3, projected=True) as its:
            await accept(its.application, 3)
            before = 0

            async def status() -> int:
                nonlocal before
                before = await its.store.position()
                return (await its.client.post("/api/tts", json=BODY)).status_code

            await becomes(status, 503)
            answer = await its.client.post("/api/tts", json=BODY)
            assert answer.json()["code"] == "queue_full"
            assert int(answer.headers["retry-after"]) > 1
            assert await its.store.position() == before

    @pytest.mark.parametrize("body", [b"", b"Content-Length: 5000\r\n\r\n{"], ids=["head", "body"])
    async def test_requests_that_only_drip(self, tmp_path: Path, body: bytes):
        """A client that sends a byte now and then is answered 408 and holds no connection."""
        async with running(tmp_path, request_timeout_seconds=1) as its:
            reader, writer = await asyncio.open_connection("127.0.0.1", its.settings.port)
            writer.write(b"POST /api/tts HTTP/1.1\r\nHost: localhost\r\n" + body)

            async def drip() -> None:
                with contextlib.suppress(ConnectionError):
                    while True:
                        writer.write(b"x")
                        await writer.drain()
                        await asyncio.sleep(0.1)

            dripping = asyncio.create_task(drip())
            async with asyncio.timeout(SECONDS):
                line = await reader.readline()
                with contextlib.suppress(ConnectionError):
                    await reader.read()
            dripping.cancel()
            writer.close()
            assert line.split()[1] == b"408"

    async def test_headers(self, its: Running):
        """A head that is too large gets 431."""
        answer = await its.client.get("/health", headers={"X-Much": "x" * 20_000})
        assert (answer.status_code, answer.json()["code"]) == (431, "header_too_large")


class TestOtherSites:
    ORIGIN = "https://app.example.com"

    async def test_a_listed_one_may(self, tmp_path: Path):
        """Its preflight is granted, and answers, errors and streams can be read."""
        async with running(tmp_path, cors_origins=f"{self.ORIGIN}, https://b.example") as its:
            asked = {"Origin": self.ORIGIN, "Access-Control-Request-Method": "POST"}
            granted = await its.client.options("/api/tts", headers=asked)
            assert granted.status_code == HTTPStatus.NO_CONTENT
            assert "POST" in granted.headers["access-control-allow-methods"]
            allowed = granted.headers["access-control-allow-headers"]
            assert {"Authorization", "Content-Type", "Idempotency-Key"} <= set(allowed.split(", "))
            origin = {"Origin": self.ORIGIN}
            for answer in (
                granted,
                await its.client.post("/api/tts", json=BODY, headers=origin),
                await its.client.post("/api/tts", json={}, headers=origin),
                await its.client.get("/nowhere", headers=origin),
            ):
                assert answer.headers["access-control-allow-origin"] == self.ORIGIN
                assert "Origin" in answer.headers["vary"]
            async with its.stream("", origin) as stream:
                head = stream.source.response.headers
                assert head["access-control-allow-origin"] == self.ORIGIN

    async def test_others_may_not(self, tmp_path: Path):
        """No header tells a browser to hand the answer over."""
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        for setting in ("", self.ORIGIN):
            async with running(tmp_path, cors_origins=setting) as its:
                for method in ("OPTIONS", "POST"):
                    answer = await its.client.request(method, "/api/tts", json=BODY, headers=asked)
                    assert "access-control-allow-origin" not in answer.headers

    async def test_none_posts_without_asking(self, its: Running):
        """What a browser sends for any site without a preflight leaves nothing behind."""
        for declared in ({}, {"Content-Type": "text/plain"}):
            headers = {"Origin": "https://evil.example", **declared}
            body = b'{"templateId": "t", "tts_text": "x"}'
            answer = await its.client.post("/api/tts", content=body, headers=headers)
            assert answer.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        assert await its.store.position() == 0

    def test_an_origin_that_is_none_stops_the_start(self):
        """A path, or a word, can never match and is named."""
        for wrong in ("https://app.example.com/", "app.example.com"):
            with pytest.raises(ConfigError, match="CORS_ORIGINS"):
                load(cors_origins=wrong)


class TestSecrets:
    async def test_stay_secret(self, tmp_path: Path, caplog):
        """No key, hash, token or signing secret is in an answer or in the log."""
        caplog.set_level(logging.DEBUG)
        async with guarded(tmp_path) as site:
            token = await site.token("app")
            seen = []
            for who in CLIENTS:
                for url in ("/system", "/health", f"/events?taskId=x&token={token}", "/metrics"):
                    answer = await site.its.ask(url, site.headers[who])
                    seen.append(answer.text + str(answer.headers))
            everything = "".join(seen) + "".join(
                record.getMessage() for record in caplog.records if record.name != "httpx"
            )
            held = keys.load(site.file)
            secrets = [
                head["Authorization"].split()[1] for who, head in site.headers.items() if head
            ]
            for secret in [*secrets, held.stream_secret, token, *(key.sha256 for key in held.keys)]:
                assert secret not in everything

    @pytest.mark.parametrize("path", ["/", "/sse-client-example.html"])
    async def test_pages_are_told_what_they_may_load(self, its: Running, path: str):
        """A page cannot be framed, sniffed, or made to load from elsewhere."""
        head = (await its.client.get(path)).headers
        assert "default-src 'none'" in head["content-security-policy"]
        assert "frame-ancestors 'none'" in head["content-security-policy"]
        assert head["x-content-type-options"] == "nosniff"
        assert head["referrer-policy"] == "no-referrer"


class TestCommand:
    def run(self, file: Path, *arguments: str) -> Any:
        """One `tts keys` command."""
        return CliRunner().invoke(main, ["keys", *arguments, "--file", str(file)])

    def test_makes_lists_and_revokes(self, tmp_path: Path):
        """A key is printed once; the file, which only its owner may read, has its hash."""
        file = tmp_path / "keys.json"
        added = self.run(file, "add", "--owner", "shop", "--role", "dashboard", "--days", "7")
        text = added.stdout.strip()
        key = keys.load(file).find(text)
        assert key is not None
        assert (key.owner, key.role) == ("shop", Role.DASHBOARD)
        assert text not in file.read_text()
        assert file.stat().st_mode & 0o777 == 0o600
        assert f"{key.id}  dashboard  shop" in self.run(file, "list").stdout
        assert self.run(file, "revoke", key.id).exit_code == 0
        assert "revoked" in self.run(file, "list").stdout
        assert text not in self.run(file, "list").output

    def test_gives_a_key_its_own_quota(self, tmp_path: Path):
        """In the list it stands with the key; a key without one goes by the settings."""
        file = tmp_path / "keys.json"
        limits = ("--max-tasks", "0", "--characters-per-day", "5000")
        assert self.run(file, "add", "--owner", "shop", *limits).exit_code == 0
        assert self.run(file, "add", "--owner", "bakery").exit_code == 0
        assert keys.load(file).quotas_of("shop", datetime.now(UTC)) == [Quota(0, 5000)]
        assert keys.load(file).quotas_of("bakery", datetime.now(UTC)) == [Quota(None, None)]
        assert "any tasks  5000 characters a day" in self.run(file, "list").stdout

    def test_says_what_is_wrong(self, tmp_path: Path, monkeypatch):
        """An unknown key, an impossible owner and a missing setting end with a sentence."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("TTS_API_KEYS_FILE", raising=False)
        file = tmp_path / "keys.json"
        self.run(file, "add", "--owner", "shop")
        for arguments in (("revoke", "00000000"), ("add", "--owner", "a b")):
            failed = self.run(file, *arguments)
            assert failed.exit_code == 1
            assert failed.output.startswith("Error: ")
        unset = CliRunner().invoke(main, ["keys", "list"])
        assert "TTS_API_KEYS_FILE is not set" in unset.output

    async def test_two_at_once_lose_nothing(self, tmp_path: Path):
        """Every key that was printed is in the file."""
        file = tmp_path / "keys.json"
        made = await asyncio.gather(
            *(
                asyncio.to_thread(keys.add, file, owner=f"o{n}", role=Role.APP, expires=None)
                for n in range(20)
            )
        )
        assert {key.id for key, _ in made} == {key.id for key in keys.load(file).keys}
