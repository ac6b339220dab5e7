"""Hosts, endpoints and URLs: each check returns the value, or says what to write instead."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote_to_bytes, urlsplit

from tts.config.text import quotation, visible_ascii, without_controls

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LOOSE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORT_MAX = 65_535
WEB = ("http", "https")
FILE = "sqlite:///"


def listed(text: str) -> frozenset[str]:
    """The parts of a text that are separated by commas."""
    return frozenset(filter(None, map(str.strip, text.split(","))))


def host(text: str) -> str:
    """A host name or an IP address, without brackets."""
    if is_host(text):
        return text
    raise ValueError("must be a host name or an IP address, such as 127.0.0.1, and nothing else")


def is_host(text: str) -> bool:
    """Whether the text is a host name or an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.removesuffix(".").split(".")
        # What ends in a number is an address, and this one is none.
        named = all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()
        return named and len(text) <= 253 and not labels[-1].lower().startswith("0x")  # noqa: PLR2004 -- RFC 1035
    return "%" not in text or re.fullmatch(r"[0-9A-Fa-f:.]+%[A-Za-z0-9._-]+", text) is not None


def endpoint(text: str) -> str:
    """``host`` or ``host:port``; an IPv6 address stands in brackets."""
    if not _is_endpoint(text):
        raise ValueError(
            "must be host:port such as 127.0.0.1:9000, without scheme, path or credentials"
        )
    return text


def _is_endpoint(text: str) -> bool:
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(\d{1,5}))?", text, re.ASCII)
    plain = re.fullmatch(r"([A-Za-z0-9._-]+)(?::(\d{1,5}))?", text, re.ASCII)
    found = bracketed or plain
    if not found or not is_host(found[1]):
        return False
    return found[2] is None or 0 < int(found[2]) <= _PORT_MAX


def web_url(text: str) -> str:
    """An http(s) URL without credentials, query and fragment; a slash at the end is dropped."""
    parts = _split(text, WEB, "https://tts.example.com")
    if "@" in parts.netloc:
        raise ValueError("must be a URL without user and password")
    if "?" in text or "#" in text:
        raise ValueError("must be a URL without ? and #")
    if not _is_endpoint(parts.netloc):
        raise ValueError(f"must have a host, and perhaps a port: {quotation(parts.netloc)} is none")
    return text.rstrip("/")


def origins(text: str) -> str:
    """``*``, or origins separated by commas."""
    for origin in listed(text) - {"*"}:
        scheme, separator, rest = origin.partition("://")
        if not (separator and re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) and _is_endpoint(rest)):
            raise ValueError(
                "must list origins such as https://app.example.com, or be *; "
                f"{quotation(origin)} is none"
            )
    return text


def allowed_hosts(text: str) -> frozenset[str]:
    """Endpoints separated by commas, in lower case."""
    for name in listed(text):
        if not _is_endpoint(name):
            raise ValueError(
                "must list host names such as tts.example.com, each perhaps with a port; "
                f"{quotation(name)} is none"
            )
    return frozenset(map(str.lower, listed(text)))


def host_names(text: str) -> frozenset[str]:
    """Hosts separated by commas, without ports, in lower case."""
    for name in listed(text):
        if not is_host(name):
            raise ValueError(
                f"must list hosts such as app.example.com, without ports; {quotation(name)} is none"
            )
    return frozenset(map(str.lower, listed(text)))


def names_below_hosts(text: str) -> str:
    """Host names with a dot, separated by commas."""
    for name in listed(text):
        if "." not in name or ":" in name or not is_host(name):
            raise ValueError(
                f"must list hosts such as replicate.delivery; {quotation(name)} is none"
            )
    return text


def public_endpoint(text: str) -> str:
    """``host:port``, or an http(s) URL."""
    return web_url(text) if "://" in text else endpoint(text)


def server_url(text: str, schemes: Collection[str], example: str) -> str:
    """The URL of a server, with user and password; the message quotes no part of it.

    A password with ``@`` or ``/`` in it would become part of the host, which errors and logs show.
    """
    parts = _split(text, schemes, example)
    _, at, after = parts.netloc.rpartition("@")
    if text.count("@") > 1 or ("@" in text and not at):
        raise ValueError("must have @ and / in user and password written as %40 and %2F")
    if "#" in text:
        raise ValueError("must have # written as %23")
    if b"\0" in unquote_to_bytes(text):
        raise ValueError("must be without %00")
    for one in after.split(","):  # PostgreSQL takes several hosts
        if one and not _is_endpoint(one) and not re.fullmatch(r":\d{1,5}", one, re.ASCII):
            raise ValueError(f"must have a host, and perhaps a port, as in {example}")
    return text


def _split(text: str, schemes: Collection[str], example: str) -> SplitResult:
    visible_ascii(text, quotes=True)
    if "\\" in text:
        raise ValueError("must have / where it has a backslash")
    if _LOOSE_PERCENT.search(text):
        raise ValueError("must have % written as %25")
    scheme, separator, _ = text.partition("://")
    if not separator or scheme.lower() not in schemes:
        raise ValueError(f"must begin with {' or '.join(f'{name}://' for name in schemes)}")
    try:
        return urlsplit(text)
    except ValueError as error:
        raise ValueError(f"must be a URL such as {example}") from error


def database_url(text: str, *others: str) -> str:
    """Where a PostgreSQL database is; blanks may stand in its options, as in a command."""
    example = "postgresql://user:password@host:5432/database"
    address, mark, query = text.partition("?")
    server_url(
        address + mark + query.replace(" ", "+"), ("postgresql", "postgres", *others), example
    )
    return text


def store_url(text: str) -> str:
    """Where the event store is: a SQLite file or a PostgreSQL database."""
    if not text.startswith("sqlite:"):
        return database_url(text, "sqlite")
    without_controls(text)
    path = text.removeprefix(FILE)
    if path == text or path.rpartition("/")[2] in {"", ".", "..", ":memory:"}:
        raise ValueError("must be sqlite:///relative/path.db or sqlite:////absolute/path.db")
    if "?" in path or "#" in path:
        raise ValueError("must name a file, without ? and #")
    return text


def file_of(store_url: str) -> Path | None:
    """The file that the URL of an event store names; None for one of PostgreSQL."""
    return Path(store_url.removeprefix(FILE)) if store_url.startswith("sqlite:") else None


def broker_url(text: str) -> str:
    """Where RabbitMQ is: one host or several, separated by commas, each perhaps with a port."""
    example = "amqp://user:password@host:5672/vhost (or host:5672,host:5672 for a cluster)"
    server_url(text, ("amqp", "amqps"), example)
    parts = urlsplit(text)
    if not all(map(_is_endpoint, parts.netloc.rpartition("@")[2].split(","))):
        raise ValueError(f"must have a host, and perhaps a port, as in {example}")
    heartbeat = parse_qs(parts.query, keep_blank_values=True).get("heartbeat", ["0"])[-1]
    if not re.fullmatch(r"\d{1,5}", heartbeat, re.ASCII) or int(heartbeat) >= _PORT_MAX:
        raise ValueError("must have a heartbeat in whole seconds, or none")
    return text
