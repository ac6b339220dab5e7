"""What each failure code means, for people who see one."""

from pathlib import Path

import pytest

from tests.integration.gateway.gateway_under_test import running
from tts.domain.failures import TABLE


@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_every_code_has_a_meaning_and_an_action(tmp_path: Path, lang: str):
    """In both languages, each code of the table once."""
    async with running(tmp_path) as its:
        answer = await its.client.get("/api/failures", params={"lang": lang})
    data = answer.json()["data"]
    assert data["language"] == lang
    assert [each["code"] for each in data["failures"]] == sorted({code for code, _ in TABLE})
    for each in data["failures"]:
        for words in (each["meaning"], each["action"]):
            assert any("\u4e00" <= letter <= "\u9fff" for letter in words) == (lang == "zh"), each


async def test_other_languages_are_refused(tmp_path: Path):
    """By name."""
    async with running(tmp_path) as its:
        answer = await its.client.get("/api/failures", params={"lang": "fr"})
    assert answer.status_code == 400
    assert "lang" in answer.json()["error"]
