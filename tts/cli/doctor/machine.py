"""What there is to see on this machine: settings, files, folders, disk, ports, keys."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from gateway.access import keys
from gateway.access.admission import check_credentials
from tts.cli.data_folder import LOW_BYTES, check_folder, free_bytes, readable_by_others
from tts.cli.doctor.findings import Finding, note, ok, wrong
from tts.config import ConfigError, Settings, strange_names
from tts.domain.values import AudioFormat
from tts.http.listening import bind
from tts.parts.trust import trust_of
from tts.ports.errors import Unavailable

FEW_FILES = 1024
FULL_BYTES = 100_000_000
HEALTH_SECONDS = 3
# What tells ours from others that listen on a port: a path, and a field of the answer.
OURS = {"SANDBOX_PORT": ("/sandbox/stats", "creations")}
OURS_ELSE = ("/health", "success")


async def look_at_settings(settings: Settings) -> Iterable[Finding]:
    """How many are set, and which names in ``.env`` are none."""
    chosen = sorted(name.upper() for name in settings.chosen)
    names = ", ".join(chosen) or "none"
    return [
        ok("Settings", f"can all be read; not as by default: {names}"),
        *(note("Settings", line) for line in strange_names()),
        *(note("Permissions", line) for line in readable_by_others(settings)),
    ]


async def look_at_files(_settings: Settings) -> Iterable[Finding]:
    """How many may be open at a time."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < FEW_FILES:
        few = f"only {most} may be open at a time, and each stream is one: raise ulimit -n"
        return [note("Open files", f"{few} (LimitNOFILE= in a unit of systemd)")]
    return [ok("Open files", f"{most} may be open at a time")]


async def look_at_folder(settings: Settings) -> Iterable[Finding]:
    """Whether DATA_DIR can be written, and what is left of its disk."""
    folder = settings.data_dir.absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        check_folder(there)
    except ConfigError as error:
        return [wrong("DATA_DIR", str(error))]
    is_new = "which is made at the first start" if there != folder else "which is there"
    return [ok("DATA_DIR", f"files can be made in {folder}, {is_new}"), _disk(there)]


def _disk(folder: Path) -> Finding:
    free = free_bytes(folder)
    left = f"{free / 1e9:.1f} GB are free where {folder} is"
    if free < FULL_BYTES:
        return wrong("Disk", f"only {left}: make room, or name another DATA_DIR")
    return note("Disk", f"only {left}") if free < LOW_BYTES else ok("Disk", left)


async def look_at_formats(settings: Settings) -> Iterable[Finding]:
    """Whether each format of audio can be written; that of the setting must be."""
    from tts.sound.encoding import unwritable  # noqa: PLC0415 -- it brings along numpy

    problems = {each: problem for each in AudioFormat if (problem := unwritable(each))}
    if not problems:
        return [ok("AUDIO_FORMAT", f"{settings.audio_format.value}; all formats can be written")]
    kind = wrong if settings.audio_format in problems else note
    return [kind("AUDIO_FORMAT", "; ".join(problems.values()))]


async def look_at_keys(settings: Settings) -> Iterable[Finding]:
    """Whether they can be read, and whether others come in without any."""
    path = settings.tts_api_keys_file
    try:
        check_credentials(settings)
        known = keys.load(path).keys if path else ()
    except ConfigError as error:
        return [wrong("Keys", str(error))]
    if path is None:
        return [ok("Keys", "none: everybody who reaches the gateway may do everything")]
    if not known:
        return [
            wrong("Keys", f"{path} holds none: tts keys add --owner … --role app --file {path}")
        ]
    return [ok("Keys", f"{len(known)} in {path}")]


async def look_at_authority(settings: Settings) -> Iterable[Finding]:
    """Whether the certificates of an authority of one's own can be read."""
    try:
        trust_of(settings)
    except ConfigError as error:
        return [wrong("TLS_CA_FILE", str(error))]
    if settings.tls_ca_file is None:
        return []
    return [ok("TLS_CA_FILE", f"{settings.tls_ca_file} is believed, too")]


async def look_at_ports(settings: Settings) -> Iterable[Finding]:
    """Whether each can be listened on, or one of ours listens there."""
    ports = {"PORT": settings.port, "METRICS_PORT": settings.metrics_port}
    if settings.sandboxed and "sandbox_port" in settings.chosen:
        ports["SANDBOX_PORT"] = settings.sandbox_port
    return [_port(name, settings.host, port) for name, port in ports.items() if port]


def _port(name: str, host: str, port: int) -> Finding:
    try:
        bind(host, port, name).close()
    except Unavailable as error:
        if _is_ours(name, host, port):
            return ok(name, f"a process of this service listens on {host}:{port}")
        return wrong(name, str(error))
    return ok(name, f"{host}:{port} is free")


def _is_ours(name: str, host: str, port: int) -> bool:
    path, field = OURS.get(name, OURS_ELSE)
    with contextlib.suppress(OSError, ValueError):
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0]
        place = f"[{address}]" if ":" in str(address) else address
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            answer = direct.open(f"http://{place}:{port}{path}", timeout=HEALTH_SECONDS)
        except urllib.error.HTTPError as error:  # it is not well, but it is ours
            answer = error
        with answer:
            return field in json.load(answer)
    return False
