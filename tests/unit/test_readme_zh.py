"""The README in Chinese says what the one in English says: it has every part, command and name."""

from __future__ import annotations

import re

from tests.documents import ROOT, blocks, pieces, text, without_comment

ENGLISH, CHINESE = text("README.md"), text("README.zh.md")


def names(document: str) -> set[str]:
    """Settings, metrics, routes, files and commands."""
    return {name for name in pieces(document) if not re.search("[“一-鿿]", name)}


def commands(document: str) -> list[str]:
    """The lines of the blocks to type, without what explains them."""
    return [
        without_comment(line) for block in blocks(document, "bash") for line in block.splitlines()
    ]


def test_both_have_the_same_parts():
    """In the same order: as many headings, rows of tables and points of lists under each."""
    for pattern in (r"^#+ ", r"^ *\|", r"^- ", r"^\d\. ", r"^ *```"):
        counts = [
            [
                len(re.findall(pattern, part, re.MULTILINE))
                for part in re.split(r"^## ", document, flags=re.MULTILINE)
            ]
            for document in (ENGLISH, CHINESE)
        ]
        assert counts[0] == counts[1], pattern


def test_both_have_the_same_commands():
    """What is to be typed and what is to be put into a file is the same to the letter."""
    assert commands(ENGLISH) == commands(CHINESE)
    assert blocks(ENGLISH, "json") == blocks(CHINESE, "json")


def test_both_name_the_same_things():
    """Each setting, route, metric and file."""
    assert names(ENGLISH) == names(CHINESE)


def test_links_lead_somewhere():
    """In both."""
    for document in (ENGLISH, CHINESE):
        for target in re.findall(r"\]\((?!http)([^)#]+)", document):
            assert (ROOT / target).exists(), target
