"""What a sandbox keeps on disk: predictions, but nobody's words for longer than Replicate does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.waiting import until
from tts.sandbox import app, predictions, shelf, start_sandbox
from tts.sandbox.behaviour import Behaviour
from tts.sandbox.predictions import Fate, Prediction, begin
from tts.sandbox.shelf import Shelf

HOUR = 3600.0
NOW = 1_800_000_000.0
WORDS = "这是秘密。"


def prediction(text: str = WORDS, *, now: float = NOW, **fate: object) -> Prediction:
    """A prediction that ends at once, unless its fate says otherwise."""
    return begin(
        version="0" * 64,
        given={"source_audio": "https://a.test/a.mp3", "source_transcript": "嗨", "tts_text": text},
        fate=Fate(**fate),
        behaviour=Behaviour(boot_seconds=0, predict_seconds=0),
        origin="http://here",
        now=now,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "predictions.jsonl"


def test_words_are_gone_from_the_file_an_hour_after_the_end(path):
    """And what is known beside them comes back after a restart."""
    kept = Shelf(path, now=NOW)
    old, new = prediction(), prediction("别的话。", now=NOW + HOUR)
    kept.add(old)
    kept.add(new)
    kept.forget(NOW + HOUR - 1)
    assert WORDS in path.read_text()
    kept.forget(NOW + HOUR)
    assert WORDS not in path.read_text()
    assert "嗨" in path.read_text()  # the other's
    assert old.view(NOW + HOUR, origin="http://here")["input"] == {}
    kept.close()
    again = Shelf(path, now=NOW + HOUR)
    found = again.get(old.id)
    assert (found.text, found.status(NOW + HOUR), found.created_at) == ("", "succeeded", NOW)
    assert again.get(new.id).text == "别的话。"
    again.close()


def test_words_whose_time_was_over_meanwhile_are_gone_at_the_next_start(path):
    """A sandbox that did not run for a while forgets when it does."""
    kept = Shelf(path, now=NOW)
    kept.add(prediction())
    kept.close()
    Shelf(path, now=NOW + HOUR).close()
    assert WORDS not in path.read_text()
    assert path.read_text().count("\n") == 1


def test_a_canceled_prediction_is_forgotten_whole_and_stays_canceled(path):
    """Its line has an end then, which it had not when it was written."""
    kept = Shelf(path, now=NOW)
    stuck = prediction(starts=False, ends=False)
    kept.add(stuck)
    kept.add(prediction("别的话。"))
    assert kept.cancel(stuck, NOW + 5.123456)
    kept.forget(NOW + 2 * HOUR)
    kept.close()
    again = Shelf(path, now=NOW + 2 * HOUR)
    assert again.get(stuck.id).status(NOW + 2 * HOUR) == "canceled"
    assert len(list(again)) == 2
    again.close()


def test_one_that_never_ends_is_forgotten_after_a_day(path):
    """Nobody waits for it any more."""
    kept = Shelf(path, now=NOW)
    stuck = prediction(starts=False, ends=False)
    kept.add(stuck)
    kept.forget(NOW + 86_400)
    assert WORDS not in path.read_text()
    assert stuck.status(NOW + 86_400) == "starting"
    kept.close()


def test_an_output_that_is_to_be_kept_longer_keeps_its_words(path):
    """Else it could not be spoken any more."""
    kept = Shelf(path, now=NOW)
    kept.add(prediction(retention_seconds=3 * HOUR))
    kept.forget(NOW + 2 * HOUR)
    assert WORDS in path.read_text()
    kept.forget(NOW + 3 * HOUR)
    assert WORDS not in path.read_text()
    kept.close()


def test_those_that_newer_ones_push_out_take_their_words_along(path, monkeypatch):
    """Memory is bounded, and nobody would come to blank their lines later."""
    monkeypatch.setattr(shelf, "MOST", 10)
    kept = Shelf(path, now=NOW)
    for number in range(10 + shelf.PAGE):
        kept.add(prediction(f"第{number}句。", now=NOW + number))
    assert "第0句。" in path.read_text()
    kept.add(prediction())
    assert "第0句。" not in path.read_text()
    assert WORDS in path.read_text()
    kept.close()


def test_only_its_owner_can_read_the_file(path):
    """Also where an earlier version left one that others can read."""
    for rest in (path, path.with_suffix(".new")):
        rest.touch(mode=0o644)
    kept = Shelf(path, now=NOW)
    kept.add(prediction())
    assert path.stat().st_mode & 0o777 == 0o600
    kept.close()


async def test_a_running_sandbox_looks_for_what_to_forget(tmp_path, monkeypatch):
    """Nobody has to ask for it."""
    monkeypatch.setattr(app, "FORGETTING_SECONDS", 0.02)
    monkeypatch.setattr(predictions, "WORDS_SECONDS", 0.3)
    behaviour = Behaviour(boot_seconds=0, predict_seconds=0, retention_seconds=0)
    sandbox = await start_sandbox(data_dir=tmp_path, behaviour=behaviour)
    try:
        async with httpx.AsyncClient(base_url=sandbox.url) as client:
            given = {"source_audio": "https://a.test", "source_transcript": "嗨", "tts_text": WORDS}
            answer = await client.post(
                "/v1/predictions",
                json={"version": "0" * 64, "input": given},
                headers={"Authorization": "Bearer any"},
            )
        assert answer.status_code == 201
        file = tmp_path / "predictions.jsonl"
        await until(
            lambda: asyncio.to_thread(lambda: WORDS not in file.read_text()), "the words are gone"
        )
    finally:
        await sandbox.stop()
