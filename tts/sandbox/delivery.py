"""The host of the output files; like the real one it asks for no token."""

from __future__ import annotations

from typing import Any

from sanic import HTTPResponse, Request

from tts.sandbox.files import file_reply
from tts.sandbox.problems import problem
from tts.sandbox.routes import Routes, State, now


def add_delivery(routes: Routes, state: State) -> None:
    """``GET /xezq/{random}/out.wav[?part=&parts=]``: the speech, 404 once its time is over."""

    def text(_request: Request, params: dict[str, Any]) -> str:
        prediction = state.shelf.with_token(params["token"])
        return prediction.text if prediction else ""

    async def output(request: Request, token: str) -> HTTPResponse:
        prediction = state.shelf.with_token(token)
        part, parts = (request.args.get(name, n) for name, n in (("part", "0"), ("parts", "1")))
        known = part.isdigit() and parts.isdigit() and int(part) < int(parts)
        if prediction is None or not known or not prediction.delivers(now()):
            return problem(404)
        return file_reply(
            request, await state.audio(prediction, int(part), int(parts)), "audio/x-wav"
        )

    routes.add("delivery", "/xezq/<token>/out.wav", output, subject=text)
