from __future__ import annotations

from itertools import pairwise
from time import process_time

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.text.corpus import ENGLISH, NEWS, UNPUNCTUATED
from tts.text.length import Length
from tts.text.segments import SPOKEN_LEAST, speakable, split
from tts.text.sending import model_text

PIECES = st.sampled_from(
    [
        *"ab1天气好 .,!?\"'“”（）。，！？…\n\u0301\u200d😀🇩🇪가\u1100\u1161",
        *("Dr. ", "3.14", "https://a.b/c?d", "１，２３４", "**", "| a | b |\n", "<laughter>"),
    ]
)
TEXTS = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=200).map("".join))
LIMITS = st.integers(1, 90)

DIGIT = st.sampled_from("0123456789０１２３４５６７８９")
RUN = st.text(DIGIT, min_size=1, max_size=5)
JOINT = st.sampled_from("．，：–—-.,:~～/")
NUMBERS = st.builds(
    lambda sign, first, rest, unit: sign + first + "".join(map("".join, rest)) + unit,
    st.sampled_from(["", "-", "+", "￥", "$"]),
    RUN,
    st.lists(st.tuples(JOINT, RUN), max_size=3),
    st.sampled_from(["", "%", "％", "元", "公里", "℃"]),
)
WORDS = st.sampled_from(["今天的", "数字是", "。", "，共", "大约", " and ", "the price is ", "；"])


def pieces(text: str, limit: int) -> list[str]:
    return [text[start:end] for start, end in split(text, limit)]


def sent(text: str, limit: int, *, cleanup: bool = True) -> list[str]:
    ranges = split(text, limit, cleanup=cleanup)
    return [model_text(text, start, end, cleanup=cleanup) for start, end in ranges]


def letters(text: str) -> int:
    return sum(map(str.isalnum, text))


# --- of every text


@given(text=TEXTS, limit=LIMITS, cleanup=st.booleans())
@example(text="!" * 500, limit=80, cleanup=True)
@example(text="a" + "!" * 500 + "b", limit=80, cleanup=True)
@example(text="!" * 500 + "a" * 100, limit=80, cleanup=True)
@example(text="a" + "\u0301" * 500 + "b", limit=80, cleanup=True)
@example(text="\u1100" * 500, limit=80, cleanup=True)
@example(text="000:0::", limit=3, cleanup=True)
@example(text="a" * 80 + "!", limit=80, cleanup=True)
def test_every_text_is_covered_and_each_segment_has_something_to_say(text, limit, cleanup):
    """No gap, no overlap, the same each time."""
    ranges = split(text, limit, cleanup=cleanup)
    assert ranges == split(text, limit, cleanup=cleanup)
    assert (ranges[0][0], ranges[-1][1]) == (0, len(text))
    assert all(before[1] == after[0] for before, after in pairwise(ranges))
    if len(ranges) > 1:
        assert all(speakable(model_text(text, *piece, cleanup=cleanup)) for piece in ranges)


@given(TEXTS, LIMITS)
@example("000:0::", 3)
@example("\U0001e4f0", 1)  # a digit that Python does not know yet
def test_what_is_sent_without_cleanup_are_the_words_of_the_text(text, limit):
    """Nothing that is spoken gets lost between the segments."""
    words = "".join(char for part in sent(text, limit, cleanup=False) for char in part)
    assert [c for c in words if c.isalnum()] == [c for c in text if c.isalnum()]


@given(TEXTS, st.integers(60, 90))
def test_what_is_sent_is_no_longer_than_the_limit(text, limit):
    """As the model counts, and it may add a full stop."""
    parts = sent(text, limit)
    if len(parts) > 1:
        assert all(Length(part).of(0, len(part)) <= limit for part in parts)


@given(TEXTS, LIMITS)
def test_no_cut_is_inside_a_grapheme(text, limit):
    """Unless the grapheme alone is longer than the limit."""
    ends = {end for _, end in split(text, limit, cleanup=False)}
    for grapheme in regex.finditer(r"\X", text):
        if 2 * (grapheme.end() - grapheme.start()) < limit:
            assert not ends & set(range(grapheme.start() + 1, grapheme.end()))


@given(st.lists(st.tuples(WORDS, NUMBERS), max_size=60), st.integers(60, 90))
def test_no_cut_is_inside_a_number(pairs, limit):
    """Nor between a number and its sign, unit or percent; digits of any width, however joined."""
    text, inside = "", set()
    for words, number in pairs:
        text += words + number
        inside |= set(range(len(text) - len(number) + 1, len(text)))
    assert not inside & {end for _, end in split(text, limit)}


def test_what_fits_is_one_segment():
    """So is everything when there is no limit; a limit below one character is a mistake."""
    assert split("天" * 79, 80) == [[0, 79]]
    assert split("x" * 81, None) == [[0, 81]]
    assert split("", 80) == [[0, 0]]
    with pytest.raises(ValueError, match="at least 1"):
        split("x", 0)


# --- of what people write


@pytest.mark.parametrize("text", [*NEWS, *ENGLISH, UNPUNCTUATED, "".join(NEWS), " ".join(ENGLISH)])
def test_no_segment_is_short(text):
    """The model speaks a few characters badly."""
    assert min(map(letters, pieces(text, 80))) >= SPOKEN_LEAST


def test_english_is_counted_in_tokens():
    """A fifth of the predictions that its characters would make."""
    text = " ".join(ENGLISH)
    assert len(split(text, 80)) <= len(text) / 80 / 3


def test_a_number_counts_as_it_is_read_out():
    """80 characters of dense numbers are more than the model speaks."""
    assert len(split("第1234567次，" * 8, 80)) > 1
    assert len(split("共100,000,000元。" * 8, 80)) == 1


def test_text_without_punctuation_is_cut_between_words():
    """Each cut is where a reader would breathe."""
    words = [
        "散步",
        "时候",
        "公园",
        "太极拳",
        "孩子",
        "风筝",
        "天气",
        "阳光",
        "市场",
        "蔬菜",
        "水果",
        "午餐",
    ]
    for limit in range(30, 80, 3):
        parts = pieces(UNPUNCTUATED * 2, limit)
        assert all(any(word in part for part in parts) for word in words)
        assert sum(part.count(word) for part in parts for word in words) == 2 * sum(
            UNPUNCTUATED.count(word) for word in words
        )


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        # Sentences stay whole, and a quotation with what it belongs to.
        (
            (
                "他说：“今天天气很好！我们去公园吧。”然后就走了……你知道吗？"
                "圆周率是3.14，约为3.14159。现在是下午3:30。（真的吗？）谢谢你们的关心和支持！！"
            ),
            50,
            [
                "他说：“今天天气很好！我们去公园吧。”然后就走了……你知道吗？",
                "圆周率是3.14，约为3.14159。现在是下午3:30。（真的吗？）谢谢你们的关心和支持！！",
            ],
        ),
        # A clause goes before a word; segments are about as long as each other.
        (
            "春天来了，花都开了，鸟儿也都回来了，孩子们在院子里跑来跑去，笑个不停呢",
            24,
            ["春天来了，花都开了，鸟儿也都回来了，", "孩子们在院子里跑来跑去，笑个不停呢"],
        ),
        # Spaces between Chinese phrases are pauses.
        (
            "春风吹过了江南的两岸 一片一片的桃花都开了 谁在桥头等着远方归来的人",
            24,
            ["春风吹过了江南的两岸 一片一片的桃花都开了 ", "谁在桥头等着远方归来的人"],
        ),
        # A tag of the model stays with what it encloses.
        (
            "他听了以后忍不住哈哈大笑起来<laughter>这也太好笑了吧</laughter>然后他又继续往下说",
            50,
            [
                "他听了以后忍不住哈哈大笑起来",
                "<laughter>这也太好笑了吧</laughter>然后他又继续往下说",
            ],
        ),
        ("!!!!!!", 4, ["!!!!!!"]),
    ],
)
def test_cuts(text, limit, expected):
    """The text is cut at the best place that there is."""
    assert pieces(text, limit) == expected


HOSTILE = {
    "digits": "1234567890",
    "punctuation": "。！？，",
    "marks": "a" + "\u0301" * 50,
    "one word": "a",
    "nested tags": "<strong><laughter>哈</laughter></strong>",
    "emoji": "😀👨‍👩‍👧🇩🇪a",
    "right to left": "مرحبا بالعالم ",
    "no punctuation": "天气",
    "short sentences": "他。",
    "joined numbers": "1，",
    "lines": "天\n",
    "table": "| a | b |\n",
    "brackets": "[",
    "quotes": "“他",
    "jamo": "\u1100",
    "sums": "$1",
    "news": "".join(NEWS),
    "English": ENGLISH[0],
}


def seconds(text: str) -> float:
    """What a split takes of a core, at best: other work disturbs some of them."""
    took = []
    for _ in range(3):
        started = process_time()
        split(text, 80)
        took.append(process_time() - started)
    return min(took)


@pytest.mark.parametrize("kind", HOSTILE)
def test_ten_thousand_characters_do_not_hold_up_the_gateway(kind):
    """It happens inside a request; a quiet machine takes less than 0.1 s for each of these."""
    ordinary, hostile = ((HOSTILE[each] * 10_000)[:10_000] for each in ("English", kind))
    assert seconds(hostile) < 10 * seconds(ordinary)
