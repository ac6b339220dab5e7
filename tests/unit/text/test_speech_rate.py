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
    ("text", "syllables", "pace"),
    [
        ("天" * 40, 40, 5.18),
        ("总额为100,000,000元，首期拨付50,000,000元，二期拨付30,000,000元，年底到位。", 26, 5.18),
        ("１９９８年国内生产总值增长91.9%，其中第一季度增长12.5%，财政收入1234亿元。", 48, 5.18),
        ("きょうはとてもいいてんきなのでこうえんまであるいていきました" * 2, 58, 7.84),
        ("今日は天気がいいので公園まで歩いて行ってみんなでお弁当を食べました" * 2, 84, 7.84),
        ("El perro de San Roque no tiene rabo porque Ramón Ramírez se lo ha cortado", 26, 7.82),
        (
            (
                "The committee said on Tuesday that it would publish its report before the end of "
                "the month, and that the findings had been checked by three independent experts."
            ),
            44,
            6.19,
        ),
    ],
    ids=["Chinese", "round sums", "wide digits", "kana", "Japanese", "Spanish", "English"],
)
def test_numbers_and_languages_have_a_bound_of_their_own(text, syllables, pace):
    """At 1.3 times the average pace nothing is suspected; of an output cut to 60 % all is."""
    whole = syllables / pace
    assert not too_short(text, whole / 1.3)
    assert too_short(text, 0.6 * whole)


@pytest.mark.parametrize("text", ["", "好。", "……！！", "Yes, of course.", "你好，欢迎光临。"])
def test_of_a_short_text_nothing_can_be_said(text):
    """A second more or less is nothing unusual."""
    assert not too_short(text, 0.3)


def test_punctuation_takes_no_time():
    """Nor do spaces, however many."""
    assert least_seconds("天" * 20) == least_seconds("（天），" * 20 + " " * 99)
