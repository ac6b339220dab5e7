"""The README in Chinese says what the one in English says: it has every part, command and name."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = ((ROOT / name).read_text() for name in ("README.md", "README.zh.md"))


def names(text: str) -> set[str]:
    """Settings, metrics, routes, files and commands."""
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return {name for name in re.findall(r"`([^`\n]+)`", prose) if not re.search("[“一-鿿]", name)}


def blocks(text: str, kind: str) -> list[str]:
    """The fenced blocks of that kind."""
    return re.findall(rf"^ *```{kind}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)


def test_both_have_the_same_parts():
    """In the same order: as many headings, rows of tables and points of lists under each."""
    for pattern in (r"^#+ ", r"^ *\|", r"^- ", r"^\d\. ", r"^ *```"):
        counts = [
            [
                len(re.findall(pattern, part, re.MULTILINE))
                for part in re.split(r"^## ", text, flags=re.MULTILINE)
            ]
            for text in (ENGLISH, CHINESE)
        ]
        assert counts[0] == counts[1], pattern


def test_both_have_the_same_commands():
    """What is to be typed and what is to be put into a file is the same to the letter."""
    for kind in ("bash", "json"):
        assert blocks(ENGLISH, kind) == blocks(CHINESE, kind)


def test_both_name_the_same_things():
    """Each setting, route, metric and file."""
    assert names(ENGLISH) == names(CHINESE)


def test_links_lead_somewhere():
    """In both."""
    for text in (ENGLISH, CHINESE):
        for target in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (ROOT / target).exists(), target
