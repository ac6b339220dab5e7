"""``GET /audio/<key>``: finished audio, where it lies in a folder of ours and not in a bucket."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any, BinaryIO

from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.roles import Need
from gateway.errors import RangeNotSatisfiable, RouteNotFound
from gateway.services import AudioFile, Services
from gateway.tasks import task_id_of
from tts.domain.naming import format_of

CHUNK_BYTES = 256 * 1024
KEY = re.compile(r"(?:audio|part)-([0-9a-f-]{36})(?:-[0-9a-f]{24})?(?:-\d{3,6})?\.(?:wav|mp3|opus)")
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the route, if the audio is ours to serve."""
    if services.audio_file is not None:
        handler = Audio(services, services.audio_file).file
        endpoint.add(app, "GET", "/audio/<key:str>", handler, need=Need.AUDIO)


class Audio:
    """The handler."""

    def __init__(self, services: Services, audio_file: AudioFile) -> None:
        self._services = services
        self._audio_file = audio_file

    async def file(self, request: Request, key: str) -> HTTPResponse:
        """The file or a range of it. A key's audio never changes, so clients may keep it."""
        match = KEY.fullmatch(key)
        if not match:
            raise RouteNotFound(f"there is no audio {key!r}")
        request.ctx.access.check_object(key)
        if (scope := request.ctx.access.scope) is not None:
            await self._services.application.history(task_id_of(match[1]), scope)
        path = self._audio_file(key)
        try:
            stat = await asyncio.to_thread(path.stat)
        except FileNotFoundError as error:
            raise RouteNotFound(f"there is no audio {key!r}") from error
        etag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
        headers = {
            "ETag": etag,
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, max-age=86400, immutable",
            "X-Content-Type-Options": "nosniff",
        }
        if request.headers.get("if-none-match") == etag:
            return HTTPResponse(status=304, headers=headers)
        start, end, status = 0, stat.st_size, 200
        content_type = format_of(key).content_type
        byte_range = request.headers.get("range")
        if byte_range is not None and request.headers.get("if-range", etag) == etag:
            part = _range(byte_range, stat.st_size)
            if part is not None:
                start, end, status = *part, 206
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{stat.st_size}"
        headers["Content-Length"] = str(end - start)
        if request.method == "HEAD":
            return HTTPResponse(status=status, headers=headers, content_type=content_type)
        return FileResponse(path, start, end - start, status, headers, content_type)


def _range(byte_range: str, size: int) -> tuple[int, int] | None:
    """``[start, end)``, or None where RFC 9110 has a server ignore what it does not understand.

    Raises:
        RangeNotSatisfiable: it lies outside of the file.
    """
    match = RANGE.fullmatch(byte_range)
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if first and last and int(last) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable(f"Range: the file has {size} bytes", size=size)
    return start, end


class FileResponse(HTTPResponse):
    """Sends a part of a file as the reader takes it, so that no file is in memory as a whole."""

    __slots__ = ("_path", "_size", "_start")

    def __init__(
        self,
        path: Path,
        start: int,
        size: int,
        status: int,
        headers: dict[str, str],
        content_type: str,
    ) -> None:
        super().__init__(status=status, headers=headers, content_type=content_type)
        self._path = path
        self._start = start
        self._size = size

    async def send(self, data: Any = None, end_stream: bool | None = None) -> None:  # noqa: ARG002, FBT001
        """Called by Sanic once, when the handler has returned."""
        file = await asyncio.to_thread(self._path.open, "rb")
        try:
            await asyncio.to_thread(file.seek, self._start)
            left = self._size
            while left:
                chunk = await asyncio.to_thread(_read, file, min(left, CHUNK_BYTES))
                left -= len(chunk)
                await super().send(chunk, end_stream=False)
            await super().send(b"", end_stream=True)
        finally:
            file.close()


def _read(file: BinaryIO, size: int) -> bytes:
    chunk = file.read(size)
    if not chunk:
        raise OSError(f"{os.fspath(file.name)} became shorter while it was sent")
    return chunk
