"""The gateway on addresses of either kind of IP, and what it tells clients of itself."""

from uuid import UUID

import httpx
import pytest

from tests.integration.gateway.gateway_under_test import running, speak

EVERY_IPV4 = "0.0.0.0"  # noqa: S104 -- as operators write it


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("::", ["[::1]", "127.0.0.1", "localhost"]),
        ("::1", ["[::1]"]),
        (EVERY_IPV4, ["127.0.0.1"]),
    ],
)
async def test_it_serves_and_names_an_address_that_works(tmp_path, host, names):
    """By each name that leads to it; audio is fetched by the URL that the task shows."""
    async with running(tmp_path, host=host, tts_allow_anonymous=True) as its:
        port = its.settings.port
        for name in names:
            health = await its.client.get(f"http://{name}:{port}/health")
            assert health.status_code == 200
        task_id = await posted(its.client, f"http://{names[-1]}:{port}")
        await speak(its.application, task_id)
        task = await its.client.get(f"http://{names[-1]}:{port}/api/tts/task/{task_id}")
        audio = task.json()["data"]["audioUrl"]
        assert audio.startswith(f"http://{names[0]}:{port}/audio/")
        file = its.audio.path(audio.rpartition("/")[2])
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"RIFF")
        assert (await its.client.get(audio)).content == b"RIFF"


async def posted(client: httpx.AsyncClient, url: str) -> UUID:
    """The id of a task that was asked for there."""
    body = {"templateId": "template1", "tts_text": "你好"}
    answer = await client.post(f"{url}/api/tts", json=body)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["data"]["taskId"])
