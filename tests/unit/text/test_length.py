"""What the model counts, as this service takes it and as its sandbox does, by other means."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.text.corpus import ENGLISH, NEWS, UNPUNCTUATED
from tts.sandbox import front_end
from tts.text.length import Length
from tts.text.readings import chinese_length
from tts.text.segments import split
from tts.text.sending import model_text


def counted(text: str) -> float:
    return Length(text).of(0, len(text)) - 1  # without the full stop


@given(st.integers(0, 10**12 - 1))
@example(100_000_000)
@example(100_001_000)
@example(10_086)
def test_a_number_is_as_long_as_its_words(value):
    """As many characters as the sandbox writes."""
    digits = str(value)
    if len(digits) != front_end.MOBILE_DIGITS:
        assert chinese_length(value) == len(front_end.written_out(digits))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("总额为100,000,000元", "总额为一亿元"),
        ("增长91.9%", "增长百分之九十一点九"),
        ("1998年12月31日", "一九九八年十二月三十一日"),
        ("2024-05-03", "二零二四年五月三日"),
        ("拨打13800138000", "拨打幺三八零零幺三八零零零"),
        ("在下午3:30", "在下午三点三十分"),
        ("共12，345元", "共一万二千三百四十五元"),
        ("气温-5℃", "气温负五摄氏度"),
    ],
)
def test_numbers_count_as_the_front_end_reads_them(text, words):
    """The words are those of wetext, which the model uses."""
    assert counted(text) == pytest.approx(len(words), abs=1 + 3 * ("-" in text))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("こんにちは、きょうはいいてんきですね", 10),
        ("안녕하세요 오늘은 날씨가 좋습니다", 11),
        ("Привет, как дела сегодня?", 8),
        ("สวัสดีครับ วันนี้อากาศดี", 14),
    ],
)
def test_tokens_are_hardly_ever_more_than_estimated(text, tokens):
    """The numbers are those of Qwen's vocabulary."""
    assert tokens <= counted(text) <= 2.3 * tokens


@pytest.mark.parametrize("text", [*NEWS, *ENGLISH, UNPUNCTUATED * 3, "共1234567元，" * 40])
def test_the_sandbox_speaks_each_segment_whole_and_no_text_that_is_too_long(text):
    """So a test sees it when the end of a text is not spoken."""
    for start, end in split(text, 80):
        part = model_text(text, start, end, cleanup=True)
        assert front_end.heard(part) == part
        assert front_end.length(part) == pytest.approx(counted(part), rel=0.25, abs=3)
    assert front_end.heard(text) != text


@given(st.text("天气好，。1234567890,.%年abc xyz", max_size=200))
def test_the_two_estimates_agree(text):
    """The sandbox's is never much above, or it would cut what fits."""
    assert front_end.length(text) <= 1.05 * counted(text) + 3
