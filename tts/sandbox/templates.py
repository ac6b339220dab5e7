"""The template host: every template id has a voice, except those that start with ``missing``.

The id ``bom`` has a byte order mark before its transcript, as files saved by some editors have.
"""

from __future__ import annotations

import codecs
import re
from typing import Any

from sanic import HTTPResponse, Request

from tts.sandbox.files import file_reply
from tts.sandbox.routes import Routes, State

TRANSCRIPT = "你好，这是一段参考录音，请用这个声音来说话。"
MISSING = "missing"
BOM = "bom"

_TEMPLATE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def add_templates(routes: Routes, state: State) -> None:
    """``/{templateId}/source_audio.mp3`` and ``/{templateId}/source_transcript.txt``."""

    def template_id(_request: Request, params: dict[str, Any]) -> str:
        return str(params["template_id"])

    async def audio(request: Request, template_id: str) -> HTTPResponse:
        if not _exists(template_id):
            return _not_found()
        return file_reply(request, await state.speech.mp3(TRANSCRIPT), "audio/mpeg")

    async def transcript(request: Request, template_id: str) -> HTTPResponse:
        if not _exists(template_id):
            return _not_found()
        body = TRANSCRIPT.encode()
        if template_id == BOM:
            body = codecs.BOM_UTF8 + body
        return file_reply(request, body, "text/plain; charset=utf-8")

    one = "/<template_id>"
    routes.add("template_audio", f"{one}/source_audio.mp3", audio, subject=template_id)
    routes.add(
        "template_transcript", f"{one}/source_transcript.txt", transcript, subject=template_id
    )


def _exists(template_id: str) -> bool:
    return bool(_TEMPLATE_ID.fullmatch(template_id)) and not template_id.startswith(MISSING)


def _not_found() -> HTTPResponse:
    body = b"<html><head><title>404 Not Found</title></head><body>404 Not Found</body></html>"
    return HTTPResponse(body, status=404, content_type="text/html")
