from __future__ import annotations

from time import process_time

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from tts.text.segments import said, speakable, split

CHINESE = (
    "他说：“今天天气很好！我们去公园吧。”然后就走了……你知道吗？圆周率是3.14，约为3.14159。"
    "现在是下午3:30。（真的吗？）请看https://example.com/a.b?c=d。谢谢！！"
)
ENGLISH = (
    'Dr. Smith paid $3.50 at 3:30 p.m. on Jan. 5th. "Really?" she asked. "Yes." See '
    "https://example.com/a.b?c=d. He works for Acme Inc. in the U.S. They left... Then it rained."
)
MIXED = '我用了ChatGPT 4.5版本。It is great! 你觉得Mr. Wang怎么样？他说 "OK." 然后走了。'

PIECES = st.sampled_from(
    [
        *"ab1天气好 .,!?\"'“”（）。，！？…\n\u0301\u200d😀🇩🇪가\u1100\u1161",
        "Dr. ",
        "3.14",
        "https://a.b/c?d",
    ]
)
TEXTS = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=200).map("".join))
LIMITS = st.integers(1, 90)


def pieces(text: str, limit: int) -> list[str]:
    return [text[start:end] for start, end in split(text, limit)]


# --- of every text


@given(TEXTS, LIMITS)
@example("!" * 500, 80)
@example("a" + "!" * 500 + "b", 80)
@example("!" * 500 + "a" * 100, 80)
@example("a" + "\u0301" * 500 + "b", 80)
@example("\u1100" * 500, 80)
@example("a" * 80 + "!", 80)
def test_every_text_is_covered_and_every_segment_is_spoken_whole(text, limit):
    """No gap, no overlap, the same each time; each has something to say, and room to say it."""
    parts = pieces(text, limit)
    assert "".join(parts) == text
    assert parts == pieces(text, limit)
    if len(parts) > 1:
        assert all(map(speakable, parts))
    for part in parts:
        told = said(part, limit)
        assert len(told) <= limit
        assert [c for c in told if c.isalnum()] == [c for c in part if c.isalnum()]


@given(TEXTS, LIMITS)
@example("a" * 80 + "!", 80)
def test_a_segment_is_within_the_limit_unless_punctuation_fills_it(text, limit):
    """Longer ones have as much in a row that nobody speaks as does not fit beside a letter."""
    for part in pieces(text, limit):
        if len(part) > limit and speakable(part):
            silent = max(len(run) for run in regex.findall(r"[^\p{L}\p{N}]+", part))
            assert silent >= limit


@given(TEXTS, LIMITS)
def test_no_cut_is_inside_a_grapheme(text, limit):
    """Unless the grapheme alone is longer than the limit."""
    ends = {end for _, end in split(text, limit)}
    for grapheme in regex.finditer(r"\X", text):
        if grapheme.end() - grapheme.start() <= limit:
            assert not ends & set(range(grapheme.start() + 1, grapheme.end()))


def test_what_fits_is_one_segment():
    """So is everything when there is no limit; a limit below one character is a mistake."""
    assert split("x" * 80, 80) == [[0, 80]]
    assert split("x" * 81, None) == [[0, 81]]
    assert split("", 80) == [[0, 0]]
    with pytest.raises(ValueError, match="at least 1"):
        split("x", 0)


# --- where the cuts are


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        (
            CHINESE,
            40,
            [
                "他说：“今天天气很好！我们去公园吧。”然后就走了……你知道吗？",
                "圆周率是3.14，约为3.14159。现在是下午3:30。",
                "（真的吗？）请看https://example.com/a.b?c=d。谢谢！！",
            ],
        ),
        (
            ENGLISH,
            80,
            [
                'Dr. Smith paid $3.50 at 3:30 p.m. on Jan. 5th. "Really?" she asked. "Yes." ',
                "See https://example.com/a.b?c=d. He works for Acme Inc. in the U.S. ",
                "They left... Then it rained.",
            ],
        ),
        (
            MIXED,
            20,
            [
                "我用了ChatGPT 4.5版本。",
                "It is great! ",
                "你觉得Mr. Wang怎么样？",
                '他说 "OK." 然后走了。',
            ],
        ),
        # A quotation that is too long is cut between its sentences, not at its first comma.
        (
            'She said: "One, two three. Four five Dr. Wu six." Then.',
            30,
            [
                'She said: "One, two three. ',
                'Four five Dr. Wu six." Then.',
            ],
        ),
        # A clause goes before a word, a word before a grapheme.
        (
            "春天来了，花都开了，鸟儿也都回来了呢",
            12,
            [
                "春天来了，花都开了，",
                "鸟儿也都回来了呢",
            ],
        ),
        ("one two three four", 10, ["one two ", "three four"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("一二三四五3.14159六七", 8, ["一二三四五", "3.14159六", "七"]),
        # Quotes and brackets stay with what they enclose.
        ("他走了。“你好吗？”她问。", 6, ["他走了。", "“你好吗？”", "她问。"]),
        ("天气好。（很好！）走吧。", 6, ["天气好。", "（很好！）", "走吧。"]),
        # The last punctuation is never left alone, and what nobody speaks is one segment.
        ("aaaa!", 4, ["aaa", "a!"]),
        ("!!!!!!", 4, ["!!!!!!"]),
        ("a!!!!!!b", 4, ["a!!!", "!!!b"]),
        ("a!!!!!!!b", 4, ["a!!!!!!!", "b"]),
    ],
)
def test_cuts(text, limit, expected):
    """Sentences are packed; what is too long is cut at the best place that there is."""
    assert pieces(text, limit) == expected


@pytest.mark.parametrize(
    "text", [CHINESE, ENGLISH, MIXED, "“他。", '"a. ', "a!", "啊", "a\u0301", "👨‍👩‍👧a", "\n "]
)
def test_ten_thousand_characters_do_not_hold_up_the_gateway(text):
    """It happens inside a request; 100 ms is ten times what a quiet machine takes."""
    long = (text * 10_000)[:10_000]
    split(long, 80)
    started = process_time()
    split(long, 80)
    assert process_time() - started < 0.1
