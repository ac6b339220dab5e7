"""``tts up`` as a user runs it: one process, nothing installed, speech from the sandbox."""

import io
from collections import Counter

import httpx
import numpy as np
import pytest
import soundfile

from tests.e2e.clients import App
from tests.histories import STATUSES_OF_SPEECH
from tests.services.process import ServiceError
from tests.services.tts import Up
from tests.waiting import wait_until

TEXT = "你好，欢迎使用语音合成服务。"


@pytest.fixture
def up(tmp_path):
    up = Up(tmp_path)
    yield up
    up.stop()


@pytest.fixture
def app(up):
    app = App(up.url)
    yield app
    app.close()


def creations(up) -> Counter:
    """How often each text was paid for, as Replicate's list tells."""
    headers = {"Authorization": "Bearer any"}
    url = f"{up.sandbox}/v1/predictions"
    texts: Counter = Counter()
    while url:
        page = httpx.get(url, headers=headers, trust_env=False).json()
        texts.update(item["input"]["tts_text"] for item in page["results"])
        url = page["next"]
    return texts


def test_a_text_becomes_speech_and_every_status_is_told_in_order(app):
    """POST, follow the stream, fetch the audio, read the task: all of it says the same."""
    data = app.speak(TEXT)
    assert data["status"] == "started"

    updates = list(app.follow(data["taskId"]))

    assert [update["status"] for update in updates] == STATUSES_OF_SPEECH
    assert [update["position"] for update in updates] == sorted(u["position"] for u in updates)
    audio = httpx.get(updates[-1]["audioUrl"], trust_env=False)
    assert audio.headers["content-type"] == "audio/wav"
    samples, rate = soundfile.read(io.BytesIO(audio.content))
    assert 1 < len(samples) / rate < 20
    assert np.sqrt(np.mean(samples**2)) > 0.005

    task = app.task(data["taskId"])
    assert task["status"] == "succeeded"
    assert task["templateId"] == "template1"
    assert task["ttsText"] == TEXT
    assert task["audioUrl"] == updates[-1]["audioUrl"]
    assert task["createdAt"] < task["completedAt"]


def test_a_client_can_wait_for_the_audio_in_one_request(app):
    """Prefer: wait answers as the original service did when it was done at once."""
    data = app.speak(TEXT, Prefer="wait=30")
    assert data["status"] == "succeeded"
    assert httpx.get(data["audio_url"], trust_env=False).is_success


def test_the_list_shows_what_was_done(app):
    """The read model follows the log."""
    task_id = app.speak(TEXT, Prefer="wait=30")["taskId"]

    def listed() -> bool:
        tasks = app.get("/api/tts/tasks", status="succeeded").json()["data"]["tasks"]
        return task_id in {task["taskId"] for task in tasks}

    wait_until(listed, "the task is in the list")


def test_a_template_that_is_missing_fails_the_task_with_its_reason(up, app):
    """The failure names the step and a code, and no prediction is paid for."""
    answer = app.post("/api/tts", {"templateId": "missing1", "tts_text": TEXT}).json()
    last = list(app.follow(answer["data"]["taskId"]))[-1]
    assert (last["status"], last["step"]) == ("failed", "template")
    assert last["code"]
    assert last["error"]
    assert not creations(up)


def test_kill_9_in_the_middle_loses_nothing_and_pays_for_nothing_twice(up, app):
    """After a restart every task that was accepted succeeds, with one prediction each."""
    texts = [f"第{number}句话，请说。" for number in range(12)]
    tasks = [app.speak(text)["taskId"] for text in texts]
    wait_until(lambda: len(creations(up)) >= 3, "some predictions exist")
    up.restart()

    seen = Counter(
        update["taskId"] for update in app.follow(*tasks) if update["status"] == "succeeded"
    )

    assert seen == Counter(tasks)
    assert creations(up) == Counter(texts)


def test_a_wrong_setting_stops_the_start_with_its_name(tmp_path):
    """Nobody has to guess what is wrong."""
    with pytest.raises(ServiceError, match="TTS_CONCURRENCY"):
        Up(tmp_path, TTS_CONCURRENCY="many")
