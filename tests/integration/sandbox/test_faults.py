"""The sandbox's faults, as an app that calls Replicate meets them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from click.testing import CliRunner

from tests.waiting import until
from tts.cli.commands import main
from tts.sandbox import Behaviour, Sandbox, start_sandbox
from tts.sandbox.faults import CATALOGUE, explain

VERSION = "669b1cd618f2747d2237350e868f5c313f3b548fc803ca4e57adfaba778b042d"
TOKEN = {"authorization": "Bearer r8_test"}
QUICK = Behaviour(boot_seconds=0.02, predict_seconds=0.02, speech="tone")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A quick sandbox on a free port."""
    sandbox = await start_sandbox(behaviour=QUICK)
    yield sandbox
    await sandbox.stop()


@pytest.fixture
async def http(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a token."""
    async with httpx.AsyncClient(base_url=sandbox.url, headers=TOKEN, timeout=60) as client:
        yield client


async def inject(http: httpx.AsyncClient, route: str, fault: str, **rule: Any) -> None:
    """Replace all rules by one."""
    rules = [{"route": route, "fault": fault, **rule}]
    (await http.put("/sandbox/faults", json=rules)).raise_for_status()


async def create(
    http: httpx.AsyncClient, text: str = "你好", *, patience: float = 60
) -> httpx.Response:
    """The reply to a creation, for which so many seconds are waited."""
    given = {
        "source_audio": "https://example.com/a.mp3",
        "source_transcript": "你好",
        "tts_text": text,
    }
    body = {"version": VERSION, "input": given}
    return await http.post("/v1/predictions", json=body, timeout=patience)


async def created(http: httpx.AsyncClient) -> int:
    """How many predictions were paid for."""
    return int((await http.get("/sandbox/stats")).json()["creations"]["total"])


async def ended(http: httpx.AsyncClient, text: str = "你好") -> dict[str, Any]:
    """A new prediction when it is over."""
    prediction = (await create(http, text)).raise_for_status().json()

    async def over() -> dict[str, Any] | None:
        now = (await http.get(prediction["urls"]["get"])).json()
        return now if "completed_at" in now else None

    return dict(await until(over, "the prediction is over"))


class TestRules:
    """Which calls a rule hits."""

    async def outcomes(self, http: httpx.AsyncClient, texts: str) -> str:
        """One letter for each creation: x for refused, . for created."""
        return "".join([".x"[(await create(http, text)).status_code == 500] for text in texts])

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            ({}, "xxxxxx"),
            ({"nth": 2}, ".x...."),
            ({"nth": [1, 6]}, "x....x"),
            ({"count": 2}, "xx...."),
            ({"match": "b"}, ".x..x."),
            ({"match": "b", "nth": 2}, "....x."),
            ({"probability": 0}, "......"),
            ({"probability": 1, "count": 1}, "x....."),
        ],
    )
    async def test_conditions(
        self, http: httpx.AsyncClient, rule: dict[str, Any], expected: str
    ) -> None:
        """A rule hits the calls that all of its conditions name."""
        await inject(http, "create", "status", args={"status": 500}, **rule)
        assert await self.outcomes(http, "abcabc") == expected

    async def test_the_same_seed_draws_the_same(self, http: httpx.AsyncClient) -> None:
        """Chances are repeated with the seed, and differ with another one."""
        runs = []
        for seed in (1, 1, 2):
            rule = {"args": {"status": 500}, "probability": 0.5, "seed": seed}
            await inject(http, "create", "status", **rule)
            runs.append(await self.outcomes(http, "a" * 30))
        assert runs[0] == runs[1] != runs[2]
        assert 5 < runs[0].count("x") < 25

    async def test_first_rule_wins_and_all_count(self, http: httpx.AsyncClient) -> None:
        """Of two rules that are due the first is injected, and both have seen the call."""
        await inject(http, "create", "status", args={"status": 500}, nth=2)
        more = {"route": "create", "fault": "status", "args": {"status": 503}}
        await http.post("/sandbox/faults", json=more)
        assert [(await create(http)).status_code for _ in range(3)] == [503, 500, 503]
        rules = (await http.get("/sandbox/faults")).json()
        assert [(rule["seen"], rule["injected"]) for rule in rules] == [(3, 1), (3, 2)]
        await http.delete("/sandbox/faults")
        assert (await create(http)).status_code == 201

    async def test_bad_rules_change_nothing(self, http: httpx.AsyncClient) -> None:
        """A rule that cannot be understood is refused with the reason, and the others stay."""
        await inject(http, "create", "status", args={"status": 500})
        before = (await http.get("/sandbox/faults")).json()
        for wrong, word in (
            ("nonsense", "object"),
            ({"route": "nowhere", "fault": "html"}, "route"),
            ({"route": "create", "fault": "stuck"}, "fault"),
            ({"route": "create", "fault": "html", "when": 1}, "when"),
            ({"route": "create", "fault": "html", "nth": "two"}, "nth"),
            ({"route": "create", "fault": "html", "match": "("}, "match"),
            ({"route": "create", "fault": "status"}, "status"),
            ({"route": "create", "fault": "html", "args": {"size": 1}}, "size"),
            ({"route": "create", "fault": "status", "args": {"status": "500"}}, "'500'"),
            ({"route": "prediction", "fault": "slow", "args": {"boot_seconds": "1"}}, "boot_"),
            ({"route": "create", "fault": "html", "nth": 0}, "nth"),
            ({"route": "create", "fault": "html", "nth": [1, "two"]}, "nth"),
            ({"route": "create", "fault": "html", "probability": 5}, "probability"),
        ):
            for method in ("PUT", "POST"):
                reply = await http.request(method, "/sandbox/faults", json=[before[0], wrong])
                assert reply.status_code == 400
                assert word in reply.json()["error"]
                assert "rule 2" in reply.json()["error"]
        assert (await http.get("/sandbox/faults")).json() == before

    async def test_shown_rules_can_be_put_back(self, http: httpx.AsyncClient) -> None:
        """What GET shows is what PUT takes."""
        await inject(http, "create", "html", nth=3, match="你")
        rules = (await http.get("/sandbox/faults")).json()
        assert (await http.put("/sandbox/faults", json=rules)).json() == rules

    async def test_rules_from_a_file(self, tmp_path: Path) -> None:
        """A file of rules is in force from the start, and a wrong one stops the start."""
        path = tmp_path / "faults.json"
        path.write_bytes(orjson.dumps([{"route": "create", "fault": "html", "count": 1}]))
        sandbox = await start_sandbox(faults_file=path)
        async with httpx.AsyncClient(base_url=sandbox.url, headers=TOKEN) as http:
            assert (await create(http)).headers["content-type"].startswith("text/html")
            assert (await create(http)).status_code == 201
        await sandbox.stop()

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ('[{"route": "create", "fault": "html"}, {"route": "moon"}]', "rule 2: route"),
            ("nonsense", "line 1 column"),
            (None, "does not exist"),
        ],
    )
    def test_a_bad_file_of_rules_stops_the_command(
        self, tmp_path: Path, content: str | None, reason: str
    ) -> None:
        """The message names the file, the rule in it, and what is wrong there."""
        path = tmp_path / "faults.json"
        if content is not None:
            path.write_text(content)
        words = ["sandbox", "--faults", str(path), "--port", "0", "--data", str(tmp_path)]
        ended = CliRunner().invoke(main, words)
        assert ended.exit_code == 2
        assert "faults.json" in ended.output
        assert reason in " ".join(ended.output.split())

    async def test_help_names_every_fault(self, http: httpx.AsyncClient) -> None:
        """GET /sandbox tells every route, and every fault with its arguments and what it does."""
        page = (await http.get("/sandbox")).text
        for route, faults in CATALOGUE.items():
            assert f"``{route}``" in page
            for name, fault in faults.items():
                usage, sentence = explain(name, fault)
                assert f"  {usage}\n      {sentence}\n" in page


class TestReplies:
    """Faults of the HTTP routes."""

    @pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422, 429, 500, 502, 503, 504])
    async def test_statuses(self, http: httpx.AsyncClient, status: int) -> None:
        """Every status comes as a problem, without Retry-After unless it is asked for."""
        await inject(http, "create", "status", args={"status": status})
        reply = await create(http)
        assert reply.status_code == reply.json()["status"] == status
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["detail"]
        assert "retry-after" not in reply.headers
        assert "retry_after" not in reply.json()
        args = {"status": status, "retry_after": 7, "retry_after_field": 5}
        await inject(http, "create", "status", args=args)
        reply = await create(http)
        assert (reply.headers["retry-after"], reply.json()["retry_after"]) == ("7", 5)
        assert await created(http) == 0

    async def test_reply_lost(self, http: httpx.AsyncClient) -> None:
        """A reset after the creation leaves a prediction behind, one before it none."""
        await inject(http, "create", "reset_before")
        with pytest.raises(httpx.NetworkError):
            await create(http)
        assert await created(http) == 0
        await inject(http, "create", "reset_after")
        with pytest.raises(httpx.NetworkError):
            await create(http)
        assert await created(http) == 1
        assert len((await http.get("/v1/predictions")).json()["results"]) == 1

    async def test_hanging(self, http: httpx.AsyncClient) -> None:
        """A call hangs before or after it was done, for ever or for a while."""
        for fault, count in (("hang_before", 0), ("hang_after", 1)):
            await inject(http, "create", fault)
            with pytest.raises(httpx.ReadTimeout):
                await create(http, patience=0.3)

            async def counted(count: int = count) -> bool:
                return await created(http) == count

            await until(counted, f"{count} are created")
        await inject(http, "create", "hang_before", args={"seconds": 0.1})
        started = time.monotonic()
        assert (await create(http)).status_code == 201
        assert time.monotonic() - started >= 0.1

    async def test_unreadable(self, http: httpx.AsyncClient) -> None:
        """Bodies come as broken JSON, as an array, as HTML with 200, as nothing."""
        await inject(http, "create", "malformed")
        reply = await create(http)
        assert reply.status_code == 201
        with pytest.raises(ValueError, match=r"."):
            reply.json()
        await inject(http, "create", "array")
        assert (await create(http)).json()[0]["version"] == VERSION
        await inject(http, "create", "html")
        reply = await create(http)
        assert (reply.status_code, reply.text[:9]) == (200, "<!DOCTYPE")
        await inject(http, "create", "empty")
        assert (await create(http)).content == b""
        assert await created(http) == 3

    async def test_delivery(self, http: httpx.AsyncClient) -> None:
        """The output is gone, slow, cut off or labelled as something else."""
        url = (await ended(http))["output"]
        whole = (await http.get(url)).content
        await inject(http, "delivery", "status", args={"status": 404})
        assert (await http.get(url)).status_code == 404
        await inject(http, "delivery", "slow", args={"seconds": 0.2, "pieces": 4})
        started = time.monotonic()
        assert (await http.get(url)).content == whole
        assert time.monotonic() - started >= 0.15
        await inject(http, "delivery", "truncated")
        async with http.stream("GET", url) as reply:
            assert int(reply.headers["content-length"]) == len(whole)
            with pytest.raises(httpx.RemoteProtocolError):
                await reply.aread()
            assert reply.num_bytes_downloaded == len(whole) // 2
        await inject(http, "delivery", "wrong_type")
        reply = await http.get(url)
        assert (reply.headers["content-type"], reply.content) == ("text/html", whole)

    async def test_template_host(self, http: httpx.AsyncClient) -> None:
        """Templates are missing, broken, HTML, not UTF-8, elsewhere, empty or too large."""
        path = "/t1/source_transcript.txt"
        for status in (404, 500, 503):
            await inject(http, "template_transcript", "status", args={"status": status})
            assert (await http.get(path)).status_code == status
        await inject(http, "template_audio", "html")
        assert (await http.get("/t1/source_audio.mp3")).content.startswith(b"<!DOCTYPE")
        await inject(http, "template_transcript", "not_utf8")
        with pytest.raises(UnicodeDecodeError):
            (await http.get(path)).content.decode()
        await inject(http, "template_transcript", "redirect")
        reply = await http.get(path)
        assert (reply.status_code, reply.has_redirect_location) == (302, True)
        await inject(http, "template_transcript", "empty")
        assert (await http.get(path)).content == b""
        await inject(http, "template_transcript", "padded", args={"size": 50_000})
        assert len((await http.get(path)).content) == 50_000
        await inject(http, "template_audio", "padded", args={"size": 50_000})
        reply = await http.get("/t1/source_audio.mp3", headers={"range": "bytes=0-9"})
        assert (reply.status_code, len(reply.content)) == (206, 10)
        assert reply.headers["content-range"] == "bytes 0-9/50000"

    async def test_match_on_the_template_and_on_the_text(self, http: httpx.AsyncClient) -> None:
        """On template routes match looks at the template id, on the others at the text."""
        args = {"status": 500}
        await inject(http, "template_audio", "status", args=args, match="^bad")
        assert (await http.get("/bad1/source_audio.mp3")).status_code == 500
        assert (await http.get("/good/source_audio.mp3")).status_code == 200
        unlucky, lucky = await ended(http, "unlucky"), await ended(http, "lucky")
        for route, url in (("get", "get"), ("cancel", "cancel")):
            await inject(http, route, "status", args=args, match="^unlucky")
            method = "POST" if route == "cancel" else "GET"
            assert (await http.request(method, unlucky["urls"][url])).status_code == 500
            assert (await http.request(method, lucky["urls"][url])).status_code == 200


class TestFates:
    """Faults of route prediction."""

    async def fate(
        self, http: httpx.AsyncClient, fault: str, *, text: str = "你好", **args: Any
    ) -> dict[str, Any]:
        """A prediction that ended so."""
        await inject(http, "prediction", fault, args=args)
        return await ended(http, text)

    async def test_failed(self, http: httpx.AsyncClient) -> None:
        """A prediction fails with the text that is asked for."""
        error = "Director: unexpected error handling prediction (E9828)"
        prediction = await self.fate(http, "failed", error=error)
        assert (prediction["status"], prediction["error"]) == ("failed", error)
        assert prediction["output"] is None

    async def test_aborted(self, http: httpx.AsyncClient) -> None:
        """An aborted prediction never started."""
        prediction = await self.fate(http, "aborted")
        assert prediction["status"] == "aborted"
        assert "started_at" not in prediction
        assert "predict_time" not in prediction["metrics"]

    async def test_other_ends(self, http: httpx.AsyncClient) -> None:
        """Predictions end canceled or in a status that nobody knows."""
        assert (await self.fate(http, "canceled"))["status"] == "canceled"
        assert (await self.fate(http, "unknown_status", status="odd"))["status"] == "odd"

    async def test_outputs(self, http: httpx.AsyncClient) -> None:
        """The output is null, a list, or a data URI with the audio in it."""
        assert (await self.fate(http, "output_null"))["output"] is None
        listed = (await self.fate(http, "output_list"))["output"]
        assert (await http.get(listed[0])).content[:4] == b"RIFF"
        assert (await self.fate(http, "output_data_uri"))["output"].startswith(
            "data:audio/wav;base64,UklGR"
        )

    async def test_cut_short(self, http: httpx.AsyncClient) -> None:
        """Less is heard than there was to say, and nothing tells of it."""
        text = "这句话有很多字" * 8
        length = {}
        for spoken in (1.0, 0.25):
            prediction = await self.fate(http, "cut_short", text=text, spoken=spoken)
            assert (prediction["status"], prediction["error"]) == ("succeeded", None)
            length[spoken] = len((await http.get(prediction["output"])).content)
        assert length[0.25] < 0.5 * length[1.0]

    async def test_data_removed(self, http: httpx.AsyncClient) -> None:
        """The data is gone as soon as the prediction has succeeded."""
        prediction = await self.fate(http, "data_removed")
        assert (prediction["status"], prediction["output"]) == ("succeeded", None)
        assert prediction["data_removed"] is True

    @pytest.mark.parametrize(
        ("fault", "status"), [("stuck", "starting"), ("endless", "processing")]
    )
    async def test_never_ending(self, http: httpx.AsyncClient, fault: str, status: str) -> None:
        """A stuck prediction stays where it is until it is canceled."""
        await inject(http, "prediction", fault)
        stuck = (await create(http)).json()
        await http.delete("/sandbox/faults")
        await ended(http)
        assert (await http.get(stuck["urls"]["get"])).json()["status"] == status
        canceled = (await http.post(stuck["urls"]["cancel"])).json()
        assert canceled["status"] == "canceled"
        assert (await http.get("/sandbox/stats")).json()["running"] == 0

    async def test_slow(self, http: httpx.AsyncClient) -> None:
        """One prediction takes longer than the others."""
        prediction = await self.fate(http, "slow", boot_seconds=0.1, predict_seconds=0.3)
        assert prediction["metrics"] == pytest.approx(
            {"predict_time": 0.3, "total_time": 0.4}, abs=1e-4
        )
