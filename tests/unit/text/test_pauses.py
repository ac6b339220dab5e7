"""Where two predictions meet, the pause is what the text asks for."""

import pytest

from tts.text.pauses import (
    CLAUSE_SECONDS,
    INSIDE_SECONDS,
    LINE_SECONDS,
    SENTENCE_SECONDS,
    pause_seconds,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("春眠不觉晓|处处闻啼鸟", INSIDE_SECONDS),
        ("a house | and a garden", INSIDE_SECONDS),
        ("春眠不觉晓，|处处闻啼鸟", CLAUSE_SECONDS),
        ("he came, |she left", CLAUSE_SECONDS),
        ("他说：|“好。”", CLAUSE_SECONDS),
        ("他来了。|她走了。", SENTENCE_SECONDS),
        ("“他来了！”|她走了。", SENTENCE_SECONDS),
        ("He came. |She left.", SENTENCE_SECONDS),
        ("**He came.** |She left.", SENTENCE_SECONDS),
        ("他来了<strong>。</strong>|她走了。", SENTENCE_SECONDS),
        ("他来了。\n|她走了。", LINE_SECONDS),
        ("他来了。|\n\n她走了。", LINE_SECONDS),
        ("他来了。\r\n\r\n|她走了。", LINE_SECONDS),
        ("春眠不觉晓\n|处处闻啼鸟", LINE_SECONDS),
        ("- apples\n- |pears", LINE_SECONDS),
        ("a line that was \n|wrapped here", INSIDE_SECONDS),
    ],
)
def test_the_pause_is_longer_the_more_ends(text, seconds):
    """A line, a sentence, a clause, and nothing at all."""
    before, after = text.split("|")
    assert pause_seconds(before + after, len(before)) == seconds


def test_what_is_longer_is_longer():
    """And nobody takes any of them for the end."""
    assert INSIDE_SECONDS < CLAUSE_SECONDS < SENTENCE_SECONDS < LINE_SECONDS < 1
