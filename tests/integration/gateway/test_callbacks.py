"""Requests that want to be told of their end: what is accepted, shown, and handed out."""

from __future__ import annotations

import pytest

from gateway.access import keys as key_file
from gateway.access.roles import Role
from tests.integration.gateway.gateway_under_test import running, speak
from tts.domain.naming import callback_secret
from tts.domain.task import Task
from tts.ports.callbacks import Callback, CallbackState

BODY = {"templateId": "t1", "tts_text": "你好"}
HOOK = "https://app.example.com/hook?token=1"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook",
        "http://app.example.com/hook",
        "https://user:secret@app.example.com/hook",
        "https://10.0.0.7/hook",
        "https://localhost/hook",
        "https://[::1/hook",
        "https://app.example.com/\0",
        "https://app.example.com/a b",
        "https://例え.jp/hook",
        "https://8.8.8.8/hook",
        "HTTPS://app.example.com",
        " https://app.example.com/hook",
        "https://app.example.com/hook\n",
        "https://app.example.com:99999/hook",
        "https://app.example.com/" + "x" * 2000,
        7,
        ["https://app.example.com/hook"],
    ],
)
async def test_a_url_that_cannot_be_called_back_is_refused(its, url):
    """By name, with the reason, and nothing is recorded."""
    answer = await its.client.post("/api/tts", json={**BODY, "callback_url": url})
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_request"
    assert answer.json()["error"].startswith("callback_url: ")
    assert "secret" not in answer.text
    assert await its.store.position() == 0


async def test_null_is_nobody(its):
    """As if it were left out; the log knows nothing of it either."""
    answer = await its.client.post("/api/tts", json={**BODY, "callback_url": None})
    task = await its.client.get(f"/api/tts/task/{answer.json()['data']['taskId']}")
    assert not [name for name in task.json()["data"] if name.startswith("callback")]
    (event,) = await its.store.read(0, 9)
    assert b"callback" not in event.state


async def test_a_task_shows_how_far_its_callback_has_come(its):
    """From waiting to the last attempt."""
    answer = await its.client.post("/api/tts", json={**BODY, "callback_url": HOOK})
    path = f"/api/tts/task/{answer.json()['data']['taskId']}"

    async def fields():
        data = (await its.client.get(path)).json()["data"]
        return {name: value for name, value in data.items() if name.startswith("callback")}

    waiting = {"callbackUrl": HOOK, "callbackState": "waiting", "callbackAttempts": 0}
    assert await fields() == waiting
    (requested,) = await its.store.read(0, 9)
    await speak(its.application, requested.task_id)
    *_, end = await its.store.read(0, 99)
    assert end.topic == Task.Succeeded.TOPIC
    assert HOOK.encode() in end.state
    table = its.callback_table
    pending = Callback(end.task_id, end.version, HOOK, began=1.0, due=1e9)
    await table.add([pending])
    assert (await fields())["callbackState"] == "pending"
    assert (await fields())["callbackAt"] == "2001-09-09T01:46:40+00:00"
    failed = Callback(
        end.task_id,
        end.version,
        HOOK,
        began=1.0,
        due=None,
        state=CallbackState.FAILED,
        attempts=15,
        problem="answered 500",
    )
    await table.save(failed)
    assert await fields() == {
        "callbackUrl": HOOK,
        "callbackState": "failed",
        "callbackAttempts": 15,
        "callbackProblem": "answered 500",
    }


async def test_every_owner_has_a_secret(tmp_path):
    """Its own, always the same; who may not command gets none."""
    file = tmp_path / "keys.json"
    texts = {
        name: key_file.add(file, owner=owner, role=role, expires=None)[1]
        for name, owner, role in [
            ("shop", "shop", Role.APP),
            ("again", "shop", Role.APP),
            ("blog", "blog", Role.APP),
            ("wall", "wall", Role.DASHBOARD),
        ]
    }
    async with running(tmp_path, tts_api_keys_file=file) as its:

        async def asked(name):
            headers = {"Authorization": f"Bearer {texts[name]}"}
            return await its.client.get("/api/webhooks/secret", headers=headers)

        secrets = {name: (await asked(name)).json()["data"]["secret"] for name in ("shop", "blog")}
        assert secrets["shop"] == (await asked("again")).json()["data"]["secret"]
        assert secrets["shop"] != secrets["blog"]
        key = (await its.store.secret()).key
        assert secrets["shop"] == callback_secret(key, "shop")
        assert (await asked("shop")).headers["cache-control"] == "no-store"
        assert (await asked("wall")).status_code == 403
        assert (await its.client.get("/api/webhooks/secret")).status_code == 401
