"""What the documents tell people to type, taken out of their text."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
# What a piece of `code` begins with that is a command; blocks of bash are commands throughout.
PROGRAMS = re.compile(
    r"(apt|apt-get|aws|bash|cat|cp|curl|docker|helm|journalctl|kill|kubectl|make|mc|nginx|node|npm|"
    r"npx|openssl|pg_dump|pip|promtool|psql|python3?|rabbitmq-plugins|rabbitmqctl|rm|sed|sh|sudo|"
    r"systemctl|tar|uv|wget|(\.venv/bin/)?(tts|pip|python)) "
)


def text(name: str) -> str:
    """A document, by its path from the root."""
    return (ROOT / name).read_text()


def blocks(document: str, *languages: str) -> list[str]:
    """The fenced blocks in these languages."""
    return [body for language, body in FENCED.findall(document) if language in languages]


def pieces(document: str) -> list[str]:
    """The pieces of `code` between the words."""
    return re.findall(r"`([^`\n]+)`", FENCED.sub("", document))


def commands(document: str) -> list[str]:
    """Each command once, in the order in which they come."""
    found = []
    for language, body in FENCED.findall(document):
        if language == "bash":
            whole = re.sub(r"\\\n\s*", "", body)
            lines = (without_comment(line).strip() for line in whole.splitlines())
            found += [line for line in lines if line]
    found += filter(PROGRAMS.match, pieces(document))
    return list(dict.fromkeys(found))


def without_comment(line: str) -> str:
    """The line of a block without what explains it."""
    return re.sub(r"(^| +)# .*$", "", line)
