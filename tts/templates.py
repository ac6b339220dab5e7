"""The reference voices: two files each on a web host, cached and revalidated."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from tts.domain.failures import StepError, Treatment
from tts.http.errors import FetchError, ForeignRedirect, OutOfReach
from tts.http.fetch import Fetched, fetch, retry_after
from tts.http.plain_text import read_text
from tts.http.transport import Transport
from tts.ports.speech import Template

REMEMBER_REFUSAL_SECONDS = 60.0
AUDIO_HEAD_BYTES = 1024
# Nobody says more in the 30 s that a reference audio may have.
MAX_TRANSCRIPT_CHARS = 1000

# The id becomes a part of a URL: nothing in it may mean anything there.
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_AUDIO = re.compile(
    rb"ID3|\xff[\xe0-\xff]|RIFF....WAVE|OggS|fLaC|....ftyp|\x1a\x45\xdf\xa3", re.DOTALL
)
_TOTAL = re.compile(r"bytes [0-9*-]+/(\d+)")
_REFUSALS: dict[int, str] = {
    401: "template_forbidden",
    403: "template_forbidden",
    404: "template_not_found",
    410: "template_not_found",
}
_PASSES = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


@dataclass(frozen=True, slots=True)
class _File:
    """A file as last seen: its text, if that matters, and what a revalidation asks with."""

    text: str
    etag: str | None
    modified: str | None

    def conditions(self) -> dict[str, str]:
        if self.etag:
            return {"If-None-Match": self.etag}
        return {"If-Modified-Since": self.modified} if self.modified else {}


@dataclass(frozen=True, slots=True)
class _Known:
    template: Template
    transcript: _File
    audio: _File
    until: float


@dataclass(frozen=True, slots=True)
class _Refused:
    code: str
    message: str
    until: float


class HttpTemplates:
    """``{base_url}/{id}/source_transcript.txt`` and ``source_audio.mp3``.

    What was fetched is fresh for ``cache_seconds``, and then asked for again only if it changed.
    ``timeout`` in seconds bounds the looking at one template; at most ``cache_size`` are kept.
    """

    def __init__(
        self,
        base_url: str,
        *,
        cache_seconds: float,
        timeout: float = 10.0,
        max_transcript_bytes: int = 64 * 1024,
        max_audio_bytes: int = 50_000_000,
        cache_size: int = 1000,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._cache_seconds = cache_seconds
        self._timeout = timeout
        self._max_transcript_bytes = max_transcript_bytes
        self._max_audio_bytes = max_audio_bytes
        self._cache_size = cache_size
        self._cache: OrderedDict[str, _Known | _Refused] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[Template]] = {}
        self._transport = Transport(timeout=timeout, trust=trust)

    async def fetch(self, template_id: str) -> Template:
        """The template; those who ask for one at the same time share one look at it.

        Raises:
            StepError: at step ``template``; a permanent one is remembered for a minute.
        """
        if not _ID.fullmatch(template_id):
            raise _refusal("template_invalid", "A template id is 1 to 64 of A-Z a-z 0-9 _ -")
        known = self._cache.get(template_id)
        if known is not None and asyncio.get_running_loop().time() < known.until:
            self._cache.move_to_end(template_id)
            if isinstance(known, _Refused):
                raise _refusal(known.code, known.message)
            return known.template
        look = self._under_way.get(template_id)
        if look is None:
            stale = known if isinstance(known, _Known) else None
            look = asyncio.create_task(self._look(template_id, stale))
            self._under_way[template_id] = look
            look.add_done_callback(lambda _: self._under_way.pop(template_id))
        # Whoever gives up waiting leaves the look to the others.
        return await asyncio.shield(look)

    async def aclose(self) -> None:
        """Give up what is under way and close the connections."""
        looks = list(self._under_way.values())
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
        await self._transport.aclose()

    async def _look(self, template_id: str, stale: _Known | None) -> Template:
        now = asyncio.get_running_loop().time()
        seen: _Known | _Refused
        try:
            async with asyncio.timeout(self._timeout):
                transcript = await self._transcript(
                    template_id, stale.transcript if stale else None
                )
                audio = await self._audio(template_id, stale.audio if stale else None)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            message = f"The template host does not answer: {type(error).__name__}"
            raise _unavailable(message) from error
        except StepError as error:
            if error.treatment is Treatment.PERMANENT:
                seen = _Refused(error.code, error.message, now + REMEMBER_REFUSAL_SECONDS)
                self._remember(template_id, seen)
            raise
        template = Template(
            template_id=template_id,
            transcript=transcript.text,
            transcript_hash=hashlib.sha256(transcript.text.encode()).hexdigest(),
            audio_url=self._audio_url(template_id),
            audio_etag=audio.etag,
        )
        seen = _Known(template, transcript, audio, now + self._cache_seconds)
        self._remember(template_id, seen)
        return template

    def _remember(self, template_id: str, seen: _Known | _Refused) -> None:
        self._cache[template_id] = seen
        self._cache.move_to_end(template_id)
        if len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)

    async def _transcript(self, template_id: str, stale: _File | None) -> _File:
        url = f"{self._base_url}/{template_id}/source_transcript.txt"
        reply = await self._get(url, stale, limit=self._max_transcript_bytes)
        if stale and reply.status == HTTPStatus.NOT_MODIFIED:
            return stale
        try:
            text = _said(reply)
        except ValueError as error:
            message = f"What lies in the transcript's place is {error}"
            raise _refusal("template_transcript", message) from error
        return _seen(reply, text)

    async def _audio(self, template_id: str, stale: _File | None) -> _File:
        reply = await self._get(
            self._audio_url(template_id), stale, limit=AUDIO_HEAD_BYTES, head_only=True
        )
        if stale and reply.status == HTTPStatus.NOT_MODIFIED:
            return stale
        # The extension decides the type on many hosts, so a page can pass for audio by that alone.
        declared = reply.headers.get("content-type", "").startswith("audio/")
        text = not reply.body.strip() or reply.body.lstrip().startswith((b"<", b"{"))
        if text or not (declared or _AUDIO.match(reply.body)):
            raise _refusal("template_audio", "The reference audio is not audio")
        total = _TOTAL.fullmatch(reply.headers.get("content-range", ""))
        size = total[1] if total else reply.headers.get("content-length", "")
        if size.isdigit() and int(size) > self._max_audio_bytes:
            raise _refusal("template_audio", "The reference audio is too large")
        return _seen(reply, "")

    def _audio_url(self, template_id: str) -> str:
        return f"{self._base_url}/{template_id}/source_audio.mp3"

    async def _get(
        self, url: str, stale: _File | None, *, limit: int, head_only: bool = False
    ) -> Fetched:
        headers = stale.conditions() if stale else {}
        if head_only:
            headers["Range"] = f"bytes=0-{limit - 1}"
        name = url.rsplit("/", 1)[1]
        try:
            reply = await fetch(
                self._transport, url, limit=limit, headers=headers, head_only=head_only
            )
        except (ForeignRedirect, OutOfReach) as error:
            raise _refusal("template_redirect", f"{name}: {error}") from error
        except FetchError as error:
            code = "template_audio" if head_only else "template_transcript"
            raise _refusal(code, f"{name}: {error}") from error
        if reply.status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            return reply
        if headers and reply.status == HTTPStatus.NOT_MODIFIED:
            return reply
        message = f"The template host answered {reply.status} for {name}"
        if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or reply.status in _PASSES:
            raise _unavailable(message, retry_after(reply.headers))
        raise _refusal(_REFUSALS.get(reply.status, "template_refused"), message)


def _said(reply: Fetched) -> str:
    if reply.status == HTTPStatus.PARTIAL_CONTENT:
        raise ValueError("a part of the file alone")
    text = read_text(reply.body, reply.headers.get("content-type", ""))
    if len(text) > MAX_TRANSCRIPT_CHARS or not any(map(str.isalnum, text)):
        raise ValueError(f"not of 1 to {MAX_TRANSCRIPT_CHARS} characters that are spoken")
    return text


def _seen(reply: Fetched, text: str) -> _File:
    return _File(text, reply.headers.get("etag"), reply.headers.get("last-modified"))


def _refusal(code: str, message: str) -> StepError:
    return StepError(code, "template", message)


def _unavailable(message: str, wait: float | None = None) -> StepError:
    return StepError("template_unavailable", "template", message, retry_after=wait)
