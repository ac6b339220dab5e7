"""What a glance says of a text holds for what is sent."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tts.text.glance import is_short
from tts.text.length import Length
from tts.text.sending import rewritten

MARKS = "，。！？；：、（）《》“”‘’…— ,.!?;:'\"()%-"
PIECES = st.sampled_from(
    [
        *("0123456789abwXYZ天气一百零年点" + MARKS),
        *("www.", "1:23", "10:59:59", "2021-11-21", "1,000", "3.14", "77%", "13812345678", "Is "),
        *("**", "\n", "｜", "１", "$", "https://", "@a.b", "#", "😀", "㐀", "é"),
    ]
)
TEXTS = st.one_of(
    st.lists(PIECES, max_size=30).map("".join),
    st.text(st.sampled_from("0123456789:.,-%年"), max_size=20),
    st.text(max_size=20),
)


@given(text=TEXTS, limit=st.integers(1, 60), cleanup=st.booleans())
@example(text="：：：：", limit=5, cleanup=True)
@example(text="www.a.b", limit=9, cleanup=True)
@example(text="1%1%1%", limit=12, cleanup=True)
@example(text="㐀㐀", limit=3, cleanup=True)
def test_what_is_short_at_a_glance_is_short_for_the_model(text, limit, cleanup):
    """The whole way round finds nothing that is short at a glance too long."""
    if is_short(text, limit):
        sent = rewritten(text, cleanup=cleanup).text
        assert Length(sent).of(0, len(sent)) <= limit


@pytest.mark.parametrize(
    "text",
    [
        "你好，欢迎使用语音合成服务。",
        "“今天天气好吗？”她问：“现在是 10:30，气温 25 度。”",
        "Hello, how are you? It's well known that (nearly) everybody's fine now.",
    ],
)
def test_ordinary_texts_are_short_at_a_glance(text):
    """The way round is not taken for what people mostly send."""
    assert is_short(text, 80)


@pytest.mark.parametrize("text", ["天" * 100_000 + "#", "a" * 100_000 + "#", "www." * 30_000])
def test_a_glance_at_a_long_text_is_no_long_look(text):
    """No text has its characters looked at again and again."""
    began = process_time()
    assert not is_short(text, 10_000_000)
    assert process_time() - began < 0.5
