"""The description of the API is true: it leaves nothing out, and real answers are as it says."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema_rs
import pytest

from gateway import swagger_ui
from gateway.access import keys
from gateway.access.roles import Role
from gateway.description import chinese
from gateway.description.operations.pages import PAGES
from gateway.services import Webhooks
from projections.tasks import TasksProjection
from projections.usage import UsageProjection
from tests.documents import FENCED, ROOT
from tests.integration.gateway.gateway_under_test import (
    Running,
    all_at_work,
    fail,
    running,
    speak,
)
from tts.domain.failures import TABLE
from tts.replicate.webhook_secret import GivenSecret
from tts.store.memory import LocalSignals

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CONFIG = Path(__file__).with_name("schemathesis.toml")
FUZZ_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))  # of each operation
FUZZ_SECONDS = 300 + 10 * FUZZ_EXAMPLES


def strict(schema: Any) -> Any:
    """The schema, with every field forbidden that it does not name."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(value) for name, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        made.setdefault("additionalProperties", False)
    return made


class Description:
    """The document that the gateway serves, and whether an answer is in it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def holds(self, answer: Any, path: str) -> None:
        """Fail unless the document says that ``path`` may answer so."""
        operation = self.document["paths"][path][answer.request.method.lower()]
        described = operation["responses"][str(answer.status_code)]
        (schema,) = [c["schema"] for c in described["content"].values()]
        whole = schema | {"components": self.document["components"]}
        jsonschema_rs.validator_for(strict(whole), validate_formats=True).validate(answer.json())


async def description(its: Running) -> Description:
    return Description((await its.client.get("/openapi.json")).json())


async def test_every_route_is_described(its: Running):
    """Nothing is served that a developer cannot find, and nothing is described that is not."""
    described = {
        (method.upper(), re.sub(r"{\w+}", "<>", path))
        for path, methods in (await description(its)).document["paths"].items()
        for method in methods
    }
    pages = {re.sub(r"{\w+}", "<>", path) for path in PAGES}
    served = {
        (method, path)
        for route in its.gateway._app.router.routes
        for path in ["/" + re.sub(r"<[^>]*>", "<>", route.path)]
        for method in route.methods - {"HEAD"}  # which is asked of whatever can be got
        if path not in pages
    }
    assert described == served


async def test_operations_have_names_for_people(its: Running):
    """Generated clients have methods such as createSpeech, each of its own."""
    document = (await description(its)).document
    ids = [
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
    ]
    assert len(set(ids)) == len(ids)
    assert {"createSpeech", "getTask", "listTasks", "cancelTask"} < set(ids)
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)+", name) for name in ids), ids
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    used = {o["tags"][0] for methods in document["paths"].values() for o in methods.values()}
    assert used == set(tags)
    for code in {failure.code for failure in TABLE.values()}:
        assert f"`{code}`" in tags["Tasks"]


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_the_reference_has_every_operation_and_needs_nothing(its: Running, language: str):
    """It works without internet: no script, and not one address of another host."""
    document = (await description(its)).document
    answer = await its.client.get("/docs/reference", headers={"Accept-Language": language})
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = answer.text
    assert f'<html lang="{language}">' in page
    assert not re.search(r"<script|<link|<img|@import|url\(", page)
    assert "`" not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)
    for path, methods in document["paths"].items():
        assert f"<code>{path}</code>" in page
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in page
    for url in re.findall(r"https?://[\w\[][^\s\"&<]+", page):  # not the pattern of addresses
        assert url.startswith(its.gateway.url)


async def test_without_its_user_interface_the_reference_is_there(tmp_path: Path, monkeypatch):
    """Swagger UI is an extra, which not everybody installs."""
    monkeypatch.setattr(swagger_ui, "PACKAGE", "a-package-that-nobody-has")
    async with running(tmp_path) as its:
        page = (await its.client.get("/docs?lang=zh")).text
        assert 'id="createSpeech"' in page
        assert "Swagger UI" not in page
        assert (await its.client.get("/docs/ui/swagger-ui.css")).status_code == 404


class TestChinese:
    @pytest.fixture
    async def documents(self, tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """In English and in Chinese, where keys are asked for."""
        file = tmp_path / "keys.json"
        keys.add(file, owner="ann", role=Role.APP, expires=None)
        async with running(tmp_path, tts_api_keys_file=file) as its:
            answers = [await its.client.get(f"/openapi.json?lang={lang}") for lang in ("en", "zh")]
            return tuple(answer.json() for answer in answers)

    def test_everything_is_said_that_is_said_in_english(self, documents):
        """With the same names and examples; a part that is new or gone is missed."""
        for (name, _, text), (same, title, told) in zip(*map(_words, documents), strict=True):
            assert same == name
            assert re.search("[一-鿿]", title), name
            assert bool(told) == bool(text), name
            assert _names(told) >= _names(text), name
            assert FENCED.findall(told) == FENCED.findall(text), name

    def test_every_description_is_in_chinese(self, documents):
        """Of fields, parameters and answers, too; and no sentence is kept that is said no more."""
        said = set()
        for text, told in zip(*map(_descriptions, documents), strict=True):
            assert re.search("[一-鿿]", told), text
            assert _names(told) >= _names(text), text
            said |= {text, *re.findall(r"^- (?:`\w+`: )?(.+)$", text, re.MULTILINE)}
        assert set(chinese.sentences()) <= {" ".join(each.split()) for each in said}

    def test_failures_are_those_of_the_runbook(self):
        """In the same words."""
        table = (ROOT / "ops/README.md").read_text().rpartition("## 失败代码")[2]
        rows = re.findall(r"^\| (`\w+`) \| \S+ \| (.+) \| (.+) \|$", table, re.MULTILINE)
        said = chinese.words()["Tasks"].text
        assert re.findall("^- (.+)$", said, re.MULTILINE) == [f"{c}：{m}{a}" for c, m, a in rows]
        assert {code.strip("`") for code, *_ in rows} == {code for code, _ in TABLE}


def _names(text: str) -> set[str]:
    """What stands in backticks."""
    return {name for _, name in re.findall(r"(`+)(.+?)\1", " ".join(FENCED.sub("", text).split()))}


def _descriptions(part: Any) -> Iterator[str]:
    """All of them, in the order of the document."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "description" and isinstance(value, str):
                yield value
            else:
                yield from _descriptions(value)
    elif isinstance(part, list):
        for each in part:
            yield from _descriptions(each)


def _words(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, title and text of whatever has words of its own."""
    found = [("info", document["info"]["title"], document["info"]["description"])]
    found += [(str(n), t["name"], t["description"]) for n, t in enumerate(document["tags"])]
    for methods in [*document["paths"].values(), *document["webhooks"].values()]:
        for operation in methods.values():
            text = operation.get("description", "")
            found.append((operation["operationId"], operation["summary"], text))
    return found


@pytest.mark.parametrize(
    ("lang", "run"),
    [
        ("Shell", ["sh", "-c"]),
        ("JavaScript", ["node", "--input-type=module", "-e"]),
        ("Python", [sys.executable, "-c"]),
    ],
)
async def test_the_samples_work(tmp_path: Path, lang: str, run: list[str]):
    """A developer who copies the first example has a task, with a key as without one."""
    file = tmp_path / "keys.json"
    _, key = keys.add(file, owner="ann", role=Role.APP, expires=None)
    before = {"JavaScript": f'const key = "{key}";\n', "Python": f'key = "{key}"\n'}
    for guarded in (False, True):
        settings = {"tts_api_keys_file": file} if guarded else {}
        async with running(tmp_path / str(guarded), **settings) as its:
            document = (await description(its)).document
            samples = document["paths"]["/api/tts"]["post"]["x-codeSamples"]
            (source,) = [sample["source"] for sample in samples if sample["lang"] == lang]
            program = await asyncio.create_subprocess_exec(
                *run,
                before.get(lang, "") + source,
                env={**os.environ, "TTS_KEY": key},
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await program.communicate()
            assert b"started" in out
            assert await its.store.position() == 1


async def test_every_sample_can_be_read(its: Running):
    """Python compiles, and nothing is left of a placeholder."""
    document = (await description(its)).document
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for sample in operation["x-codeSamples"]:
                assert "{taskId}" not in sample["source"], path
                assert "None" not in sample["source"], path
                if sample["lang"] == "Python":
                    compile(sample["source"], path, "exec")


async def test_every_answer_has_an_example_that_is_one(tmp_path: Path):
    """Of each status, and of each code that it may have."""
    file = tmp_path / "keys.json"
    keys.add(file, owner="ann", role=Role.APP, expires=None)
    async with running(tmp_path, tts_api_keys_file=file) as its:
        document = (await description(its)).document
        for operation in _operations(document):
            for status, response in operation["responses"].items():
                for kind, content in response.get("content", {}).items():
                    if kind.startswith("audio/"):
                        continue
                    examples = content.get("examples", {"": {"value": content.get("example")}})
                    whole = content["schema"] | {"components": document["components"]}
                    answers = jsonschema_rs.validator_for(strict(whole), validate_formats=True)
                    for name, example in examples.items():
                        what = f"{operation['operationId']} {status} {name}"
                        assert answers.is_valid(example["value"]), what
                    codes = set(re.findall(r"^- `(\w+)`: ", response["description"], re.MULTILINE))
                    assert codes <= examples.keys()
        (sent,) = document["webhooks"]["taskEnded"]["post"]["requestBody"]["content"].values()
        whole = sent["schema"] | {"components": document["components"]}
        jsonschema_rs.validator_for(strict(whole), validate_formats=True).validate(sent["example"])


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


@pytest.mark.usefixtures("by_day")
async def test_answers_are_as_described(its: Running):
    """No field is missing, of another kind, or unmentioned, whatever became of the task."""
    says = await description(its)
    spoken, failed, canceled, erased = [await its.post() for _ in range(4)]
    await speak(its.application, spoken)
    await speak(its.application, erased)
    await fail(its.application, failed, permanent=False)
    client, task = its.client, "/api/tts/task/{taskId}"
    for answer, path in [
        (await client.post("/api/tts", json={}), "/api/tts"),
        (await client.post("/api/tts/cancel", json={"taskId": str(canceled)}), None),
        (await client.post("/api/tts/cancel", json={"taskId": str(canceled)}), None),
        (await client.delete(f"/api/tts/task/{erased}"), task),
        (await client.post("/api/tts/retry", json={"taskId": str(erased)}), None),
        (await client.post("/api/tts/retry", json={"taskId": str(failed)}), None),
        (await client.get("/health"), None),
        (await client.get("/health?deep=1"), None),
        (await client.get("/health?deep=maybe"), None),
        (await client.get("/system"), None),
        (await client.post("/api/stream-token"), None),
    ]:
        says.holds(answer, path or answer.url.path)
    async with all_at_work(its):
        well = await client.get("/health?deep=1")
        assert well.json()["data"]["service"]["troubles"] == []
        says.holds(well, "/health")
        says.holds(await client.get("/system"), "/system")
    for task_id in (spoken, failed, canceled, erased, UUID(int=1)):
        url = f"/api/tts/task/{task_id}"
        says.holds(await client.get(url), task)
        says.holds(await client.get(f"{url}/events"), f"{task}/events")
    await its.project(TasksProjection(), UsageProjection())
    listed = await client.get("/api/tts/tasks")
    assert len(listed.json()["data"]["tasks"]) == 4
    says.holds(listed, "/api/tts/tasks")
    stats = await client.get("/api/stats")
    says.holds(stats, "/api/stats")
    counted = {s: n for s, n in stats.json()["data"]["tasks"].items() if n}
    assert counted == {"succeeded": 2, "retrying": 1, "canceled": 1}
    usage = await client.get("/api/usage?days=7")
    says.holds(usage, "/api/usage")
    assert usage.json()["data"]["owners"][0]["days"][0]["tasks"] == 4
    for path in ("/api/stats/series", "/api/templates"):
        says.holds(await client.get(path), path)


async def test_dead_letters_are_as_described(its: Running):
    """The list, a letter, and what is told of orders."""
    says = await description(its)
    failed = [await its.post() for _ in range(3)]
    for task_id in failed:
        await fail(its.application, task_id, permanent=False)
    await its.project()
    path, client, why = "/api/dead-letters", its.client, {"reason": "known"}
    listed = await client.get(path)
    assert len(listed.json()["data"]["deadLetters"]) == 3
    says.holds(listed, path)
    says.holds(await client.get(f"{path}/{failed[0]}"), f"{path}/{{taskId}}")
    for order in ("redrive", "dismiss"):
        for body in (
            why | {"filter": {}, "dryRun": True},
            why | {"filter": {}, "limit": 1},
            why | {"taskIds": [str(failed[2]), str(UUID(int=1))]},
            why,
        ):
            says.holds(await client.post(f"{path}/{order}", json=body), f"{path}/{order}")
    says.holds(await client.get(f"{path}/{failed[2]}"), f"{path}/{{taskId}}")


async def test_a_waiting_answer_is_as_described(its: Running):
    """Audio, and a failure of either kind."""
    says = await description(its)
    for n, permanent in enumerate((None, True, False)):
        key = {"Idempotency-Key": f"k{n}", "Prefer": "wait=10"}
        body = {"templateId": "t", "tts_text": "x"}
        first = await its.client.post("/api/tts", json=body, headers=key | {"Prefer": ""})
        says.holds(first, "/api/tts")
        task_id = UUID(first.json()["data"]["taskId"])
        if permanent is None:
            await speak(its.application, task_id)
        else:
            await fail(its.application, task_id, permanent=permanent)
        answer = await its.client.post("/api/tts", json=body, headers=key)
        assert answer.status_code == (200, 422, 424)[n]
        says.holds(answer, "/api/tts")


async def test_updates_of_a_stream_are_as_described(its: Running):
    """Every event of a task, from its request to its erasure, is a ``TaskUpdate``."""
    document = (await description(its)).document
    schema = {"$ref": "#/components/schemas/TaskUpdate", "components": document["components"]}
    validator = jsonschema_rs.validator_for(strict(schema), validate_formats=True)
    task_id = await its.post()
    await speak(its.application, task_id)
    await its.client.delete(f"/api/tts/task/{task_id}")
    async with its.stream(f"taskId={task_id}") as reader:
        for _ in await its.store.events(task_id):
            validator.validate((await reader.of("task_update")).json())


async def test_every_method_that_a_path_has_is_named_to_who_tries_another(its: Running):
    """A 405 says in ``Allow`` what would work."""
    for path, methods in (await description(its)).document["paths"].items():
        url = re.sub(r"{\w+}", "x", path)
        answer = await its.client.request("PATCH", url)
        assert answer.status_code == 405
        allowed = {method.upper() for method in methods} | {"OPTIONS"}
        allowed |= {"HEAD"} if "GET" in allowed else set()
        assert set(answer.headers["allow"].split(", ")) == allowed


async def _tasks(its: Running) -> list[UUID]:
    """Some tasks in each state; the fuzzer erases a few of them in the end."""
    tasks = [
        (await its.application.request(template_id="t", text="x", owner="ann"))[0].id
        for _ in range(32)
    ]
    for spoken, failed, canceled, _ in zip(*[iter(tasks)] * 4, strict=True):
        await speak(its.application, spoken)
        await fail(its.application, failed, permanent=True)
        await its.application.cancel(canceled, by="ann", reason="enough")
    return tasks


async def _work(its: Running) -> None:
    """What a processor would do, at once: one of three tasks succeeds, one fails, one waits."""
    fates = 0
    async for events in its.store.follow(await its.store.position()):
        for event in events:
            if event.version == 1:
                fates += 1
                if fates % 3 == 1:
                    await speak(its.application, event.task_id)
                elif fates % 3 == 2:
                    await fail(its.application, event.task_id, permanent=bool(fates % 2))


def _in_a_file(document: dict[str, Any], file: Path) -> Path:
    """The description, with the one rule in it that few tools can read."""
    text = document["components"]["schemas"]["SpeechRequest"]["properties"]["tts_text"]
    text["pattern"] = r"^[^\x00]*[\p{L}\p{N}][^\x00]*$"
    file.write_text(json.dumps(document))
    return file


@pytest.mark.timeout(FUZZ_SECONDS + 60)
@pytest.mark.parametrize(
    "guarded",
    [
        pytest.param(False, id="open", marks=pytest.mark.chaos),  # finds less
        pytest.param(True, id="with keys"),
    ],
)
async def test_a_fuzzer_finds_nothing(tmp_path: Path, *, guarded: bool):
    """No request gets a 5xx, an undescribed status, or an answer that is not as described."""
    arguments = ["--seed=1", "--generation-deterministic", "--no-color"]
    arguments.append(f"--max-examples={FUZZ_EXAMPLES}")
    settings: dict[str, Any] = {"wait_max_seconds": 1, "rate_limit_per_key": 0}
    if guarded:
        settings["tts_api_keys_file"] = tmp_path / "keys.json"
        _, key = keys.add(tmp_path / "keys.json", owner="ann", role=Role.ADMIN, expires=None)
        arguments.append(f"--header=Authorization: Bearer {key}")
    secret = f"whsec_{base64.b64encode(b'not known to the fuzzer').decode()}"
    webhooks = Webhooks(GivenSecret(secret), LocalSignals())
    async with running(tmp_path, webhooks=webhooks, **settings) as its, all_at_work(its):
        ids = [str(task_id) for task_id in await _tasks(its)]
        described = _in_a_file((await description(its)).document, tmp_path / "openapi.json")
        config = tmp_path / "schemathesis.toml"
        config.write_text(CONFIG.read_text() + f"\n[dictionaries.tasks]\nvalues = {ids}\n")
        working = asyncio.create_task(_work(its))
        fuzzer = await asyncio.create_subprocess_exec(
            str(SCHEMATHESIS),
            f"--config-file={config}",
            "run",
            str(described),
            f"--url={its.gateway.url}",
            *arguments,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(FUZZ_SECONDS):
                out, _ = await fuzzer.communicate()
        finally:
            if fuzzer.returncode is None:
                fuzzer.kill()
                await fuzzer.wait()
            assert not working.done()
            working.cancel()
        report = out.decode()
        assert fuzzer.returncode == 0, report
        assert re.search(r"API Operations:\s+Selected: (\d+)/\d+\s+Tested: \1\b", report), report
