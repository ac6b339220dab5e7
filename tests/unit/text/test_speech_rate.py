"""Audio that is too short for its text is told from audio that is not."""

from io import BytesIO

import pytest
import soundfile

from tts.sandbox.speech import Speech
from tts.text.speech_rate import least_seconds, too_short

TEXTS = [
    "春天来了，万物复苏，小草从泥土里探出头来，花儿也竞相开放，空气中弥漫着清新的味道。",
    "The quick brown fox jumps over the lazy dog, and then it runs away into the forest.",
    "请在2026年11月24日下午3点前拨打10086，余额为1234.56元。",
    "我们的API使用JSON格式返回数据，请先阅读documentation再开始integration。",
]
SYLLABLES_PER_SECOND = 5.18  # Mandarin on average
LETTERS_PER_SECOND = 13.5  # English on average: 6.19 syllables, some 2.2 letters each


async def spoken_seconds(text: str) -> float:
    speech = Speech()
    try:
        return soundfile.info(BytesIO(await speech.output(text, "voice"))).duration
    finally:
        speech.close()


@pytest.mark.parametrize("text", TEXTS)
async def test_whole_speech_is_never_suspected(text):
    """A voice speaks all of it, in each script."""
    assert not too_short(text, await spoken_seconds(text))


def test_half_of_a_text_is_suspected_at_once():
    """The model stops at 80 characters."""
    assert too_short("天" * 160, 80 / SYLLABLES_PER_SECOND)


@pytest.mark.parametrize(
    ("text", "whole"),
    [("天" * 40, 40 / SYLLABLES_PER_SECOND), ("word " * 16, 64 / LETTERS_PER_SECOND)],
    ids=["Chinese", "English"],
)
def test_at_an_average_pace_two_fifths_cannot_be_missing_unnoticed(text, whole):
    """And the whole at that pace is fine."""
    assert not too_short(text, whole)
    assert too_short(text, 0.6 * whole)


@pytest.mark.parametrize("text", ["", "好。", "……！！", "Yes, of course.", "你好，欢迎光临。"])
def test_of_a_short_text_nothing_can_be_said(text):
    """A second more or less is nothing unusual."""
    assert not too_short(text, 0.3)


def test_punctuation_takes_no_time():
    """Nor do spaces, however many."""
    assert least_seconds("天" * 20) == least_seconds("（天），" * 20 + " " * 99)
