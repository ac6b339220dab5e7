"""What is sent for a text: the same words, in a form that the model's front end does not spoil."""

import pytest

from tts.text.segments import split
from tts.text.sending import model_text, model_text_before


def sent(text: str, *, cleanup: bool = True) -> str:
    return model_text(text, 0, len(text), cleanup=cleanup)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("床前明月光\n疑是地上霜", "床前明月光。疑是地上霜"),
        ("低头\u3000\r\n\r\n思故乡", "低头。思故乡"),
        ("举头望明月，\n低头思故乡。\n完", "举头望明月，低头思故乡。完"),
        ("他说：“好。”\n走了", "他说：“好。”走了"),
        ("First line\nSecond line", "First line. Second line"),
        ("a line that was\nonly wrapped", "a line that was only wrapped"),
        ("Yes.\nNo", "Yes. No"),
        ("春天 来了\u3000花儿 开了", "春天 来了，花儿 开了".replace(" ", "，")),
        ("用 ChatGPT 写的 张 三", "用 ChatGPT 写的 张 三"),
    ],
)
@pytest.mark.parametrize("cleanup", [True, False])
def test_breaks_are_pauses(text, expected, cleanup):
    """The front end deletes line breaks, and spaces beside Chinese."""
    assert sent(text, cleanup=cleanup) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("。”他说", "他说"),
        ('..." she said', '"she said'),
        ("（。”他说）", "（他说）"),
        ("，，“好”", "“好”"),
        ("-5℃", "-5℃"),
        ("$3.50", "$3.50"),
        ("<strong>好</strong>", "<strong>好</strong>"),
        ("[breath]好", "[breath]好"),
    ],
)
@pytest.mark.parametrize("cleanup", [True, False])
def test_what_closes_before_anything_opened_is_dropped(text, expected, cleanup):
    """The front end fails on a text that begins with a full stop and a quote."""
    assert sent(text, cleanup=cleanup) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# 标题\n\n**重点**是*这个*", "标题。重点是这个"),
        ("- [x] 第一\n- 第二 `code`", "第一。第二 code"),
        ("> 引用\n\n---\n\n正文", "引用。正文"),
        ("```python\nx = 1\n```\n完", "x = 1。完"),
        ("见[文档](https://a.b/c)和![图](x.png)", "见文档和图"),
        ("| 名称 | 价格 |\n|---|:--:|\n| 苹果 | 3元 |", "名称，价格。苹果，3元"),
        ("请看https://www.example.com/a?b=c。谢谢", "请看example点com。谢谢"),
        ("Mail a.b@c.com or see https://c.com/x.", "Mail a dot b at c dot com or see c dot com."),
        ("你好😀👨‍👩‍👧🇩🇪1️⃣！", "你好1！"),
        ("<p>你好&amp;<br/>再见</p>", "你好&再见"),
        ("<laughter>哈哈</laughter><|endofprompt|>", "<laughter>哈哈</laughter><|endofprompt|>"),
        ("占９１．９％，１０：３０，１，２３４元", "占91.9%，10:30，1,234元"),
        ("增长10%-20%，30～40个，2024–2025", "增长10%至20%，30至40个，2024至2025"),
        ("2 * 3 * 4 = 24，a_b_c，2**3", "2 * 3 * 4 = 24，a_b_c，2**3"),
        ("零\u200b宽\ufeff度", "零宽度"),
    ],
)
def test_cleanup_leaves_what_is_for_the_ear(text, expected):
    """Each rule of the module's docstring."""
    assert sent(text) == expected


def test_without_cleanup_it_is_left():
    """Marks are for those who know what their model makes of them."""
    text = "**重点**：https://a.b/c 😀 ９％"
    assert sent(text, cleanup=False) == text


def test_what_would_leave_nothing_is_sent_as_it_is():
    """An empty text is a prediction that fails."""
    assert sent("<b1>") == "<b1>"


def test_the_segments_of_what_is_cleaned_are_ranges_of_what_was_written():
    """Whatever is dropped lies in one of them, and nothing is said twice."""
    text = "# 标题\n\n**重点**：请看https://www.example.com/a?b=c，谢谢😀！\n" * 6
    ranges = split(text, 80)
    assert "".join(text[start:end] for start, end in ranges) == text
    words = "".join(model_text(text, start, end, cleanup=True) for start, end in ranges)
    assert words.count("重点") == words.count("example点com") == 6
    assert "https" not in words


def test_a_task_from_before_the_rules_is_spoken_as_it_was():
    """A prediction that was paid for is found by the text that was sent."""
    assert model_text_before("。”他\n说 😀", 80) == "。”他\n说 😀"
    assert model_text_before("!" * 90 + "a", 80) == "a"
