"""What commands print: from anywhere, and harmless to the terminal."""

import json
from pathlib import Path

import pytest

import tts.cli
from tts.cli.dead_letters_text import print_letter, print_page
from tts.cli.errors import Process, Tool
from tts.cli.output import print_json
from tts.config import ConfigError

EVIL = "\x1b]0;title\x07\x9b31m\u202eback\u2028next\rover\nForged  line"
AT = "2026-01-02T03:04:05+00:00"
MADE = {"predictionId": EVIL, "segment": 0, "attempt": 1, "createdAt": AT, "predictTime": None}
LETTER = {
    "taskId": EVIL,
    "code": EVIL,
    "step": EVIL,
    "permanent": False,
    "error": EVIL,
    "failedAt": AT,
    "createdAt": AT,
    "attempts": 1,
    "maxAttempts": 5,
    "predictions": 1,
    "templateId": EVIL,
    "owner": EVIL,
    "textLength": 2,
    "ttsText": EVIL,
    "dismissedAt": None,
    "events": [
        {"timestamp": AT, "lasted": None, "status": "queued", "by": EVIL, "reason": EVIL},
        {
            "timestamp": AT,
            "lasted": 1.0,
            "status": "failed",
            "error": EVIL,
            "code": "x",
            "step": "y",
        },
    ],
    "predictionsMade": [MADE],
}


def obeyed(printed: str) -> set[str]:
    """What a terminal would obey in it."""
    return {one for one in printed if not one.isprintable()} - {"\n"}


def test_a_dead_letter_commands_no_terminal(capsys):
    """Whoever made the prediction, the text or the reason cannot move the reader's cursor."""
    print_letter(LETTER)
    print_page({"total": 1, "deadLetters": [LETTER], "counts": {EVIL: 1}, "nextCursor": EVIL})
    printed = capsys.readouterr().out
    assert obeyed(printed) == set()
    assert "\\u001b]0;title" in printed
    assert not any(line.startswith("Forged") for line in printed.splitlines())


def test_json_says_the_same_in_escapes(capsys):
    """A program reads what was there; a terminal obeys nothing."""
    print_json({"error": EVIL, "text": "你好"})
    printed = capsys.readouterr().out
    assert obeyed(printed) == set()
    assert json.loads(printed) == {"error": EVIL, "text": "你好"}
    assert "你好" in printed


@pytest.mark.parametrize("kind", [Process, Tool])
def test_an_error_commands_no_terminal(capsys, kind):
    """An error may quote what came from elsewhere."""

    def broken():
        raise ConfigError(EVIL)

    with pytest.raises(SystemExit):
        kind("broken", callback=broken).main([])
    assert obeyed(capsys.readouterr().err) == set()


def test_commands_print_in_one_way():
    """Whatever is printed goes through ``tts.cli.output``."""
    for path in Path(tts.cli.__path__[0]).rglob("*.py"):
        if path.name != "output.py":
            assert "click.echo(" not in path.read_text(), path
            assert "print(" not in path.read_text().replace("def print", ""), path
