"""The URL of a PostgreSQL database, as its driver reads it."""

from __future__ import annotations

import difflib
import re

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from tts.ports.errors import Unfit

_WRONG_VALUE = re.compile(r"invalid \S+ value")  # in the URL's query, as libpq says it
_REFUSED_OPTIONS = "unsupported startup parameter"
_SETTING = re.compile(r"(?:-c\s*|--)([A-Za-z_.]+)\s*=\s*((?:\\.|[^\s\\])*)")


class UnreadableUrl(Unfit):
    """The driver cannot make sense of the database's URL; the message quotes no part of it."""


def parameters(url: str) -> dict[str, str]:
    """What the URL says, by the driver's names; blanks and ``=`` may stand in its ``options``.

    Raises:
        UnreadableUrl
    """
    address, mark, query = url.partition("?")
    options = []
    for option in query.split("&") if mark else ():
        name, equals, value = option.partition("=")
        options.append(name + equals + value.replace(" ", "%20").replace("=", "%3D"))
    try:
        return {
            name: str(value)
            for name, value in conninfo_to_dict(address + mark + "&".join(options)).items()
        }
    except psycopg.ProgrammingError as error:
        raise UnreadableUrl(
            _reason(error, [option.partition("=")[0] for option in options])
        ) from None


def settings_of(parameters: dict[str, str]) -> dict[str, str]:
    """What the URL sets for its sessions: ``?options=-c search_path=tts``."""
    found = _SETTING.findall(parameters.get("options", ""))
    return {name: re.sub(r"\\(.)", r"\1", value) for name, value in found}


def check_refusal(error: psycopg.Error) -> None:
    """Return if the server may let us in later.

    Raises:
        UnreadableUrl: it, or the driver, will never take what the URL says.
    """
    text = str(error)
    if _REFUSED_OPTIONS in text:
        raise UnreadableUrl(
            "the pooler behind it takes no ?options=…: take them away, and set what they set for "
            "the role, as with ALTER ROLE tts IN DATABASE tts SET search_path = tts"
        ) from None
    if _WRONG_VALUE.search(text) or not isinstance(error, psycopg.OperationalError):
        raise UnreadableUrl(_reason(error, [])) from None


def _reason(error: psycopg.Error, names: list[str]) -> str:
    known = [option.keyword.decode() for option in Conninfo.get_defaults()]
    for name in names:
        if name not in known and "invalid URI query parameter" in str(error):
            # Its own name may be a piece of a password that was not written as it should be.
            similar = difflib.get_close_matches(name.lower(), known, n=1)
            meant = f"is {similar[0]} meant?" if similar else "such as sslmode or options"
            return f"what stands behind the ? has to be options that PostgreSQL knows: {meant}"
    reason = re.sub(r'"[^"]*"?', '"…"', str(error).strip())
    return f"PostgreSQL cannot read it: {reason}"
