"""What the log shows, and what it never shows."""

import json
import logging

import pytest

from tts.observability.logs import configure_logging
from tts.observability.visible import visible

EVIL = "\x1b]0;title\x07 \x9b31m \u202eback \u2028next\r\nINFO forged"


@pytest.fixture(autouse=True)
def root_logger():
    """It is afterwards what it was before."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _raise(error: Exception) -> None:
    raise error


def _fail(token: str, text: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    raise RuntimeError(f"nothing came of {len(headers)} headers and {len(text)} characters")


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_shows_no_variables(capsys, form):
    """Texts and tokens that were at hand when something failed stay out of the log."""
    configure_logging("INFO", form)
    try:
        _fail("r8_" + "hidden", "a private " + "letter")
    except RuntimeError:
        logging.getLogger("test").exception("It failed")
    shown = capsys.readouterr().err
    assert "RuntimeError" in shown
    assert "in _fail" in shown
    assert "r8_hidden" not in shown
    assert "a private letter" not in shown


def test_the_console_obeys_nobody(capsys):
    """Control characters of C0 and C1, and those that turn the reading order, are made visible."""
    configure_logging("INFO", "console")
    logging.getLogger("test").info("A message: %s", EVIL, extra={"reason": EVIL, "list": [EVIL]})
    shown = capsys.readouterr().err
    assert "\\u001b]0;title\\u0007" in shown
    assert len(shown.splitlines()) == 1
    try:
        _raise(RuntimeError(EVIL))
    except RuntimeError:
        logging.getLogger("test").exception("It failed")
    shown += capsys.readouterr().err
    for wrong in ("\x1b]", "\x9b", "\x07", "\u202e", "\u2028", "\r"):
        assert wrong not in shown


def test_json_is_one_line_of_ascii(capsys):
    """A record is a line, whatever it holds."""
    configure_logging("INFO", "json")
    logging.getLogger("test").info("A message: %s", EVIL, extra={"reason": EVIL})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isascii()
    assert json.loads(line)["reason"] == EVIL


def test_what_can_be_seen_stays_as_it_is():
    """Chinese, its blanks, emoji and accents are no danger."""
    for text in ("你好，　世界。", "déjà vu", "😀 ok", "a\u00a0b"):
        assert visible(text) == text
    assert visible("a\U000e0001b\ud800") == "a\\udb40\\udc01b\\ud800"
    assert visible("one\ntwo", keep="\n") == "one\ntwo"


@pytest.mark.parametrize("chatty", ["urllib3.connectionpool", "aiormq.connection", "httpx"])
def test_what_is_told_by_us_is_not_told_by_libraries(capsys, chatty):
    """An outage is one line of ours, not one for each try."""
    configure_logging("INFO", "json")
    level = logging.INFO if chatty == "httpx" else logging.WARNING
    logging.getLogger(chatty).log(level, "Retrying after connection broken")
    assert capsys.readouterr().err == ""
