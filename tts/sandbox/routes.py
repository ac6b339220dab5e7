"""What every route of the sandbox shares: the state behind it, the counting and the faults."""

from __future__ import annotations

import base64
import textwrap
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sanic import HTTPResponse, Request, Sanic

from tts.sandbox import front_end
from tts.sandbox.behaviour import Behaviour
from tts.sandbox.faults import Faults
from tts.sandbox.predictions import Prediction
from tts.sandbox.problems import Refused
from tts.sandbox.replies import REPLIES, Call
from tts.sandbox.shelf import Shelf
from tts.sandbox.speech import Speech
from tts.sandbox.stats import Stats

LINE_CHARS = 76  # of a data URI in lines

Handler = Callable[..., Awaitable[HTTPResponse]]
# What a rule's ``match`` looks at in a request, given the parameters in its path.
Subject = Callable[[Request, dict[str, Any]], str]


@dataclass(slots=True)
class State:
    """Everything that one running sandbox holds."""

    behaviour: Behaviour
    shelf: Shelf
    speech: Speech
    faults: Faults
    stats: Stats

    async def view(self, prediction: Prediction, now: float, origin: str) -> dict[str, Any]:
        """The prediction as the API shows it at ``now``."""
        data_uri = ""
        if prediction.output == "data_uri" and prediction.delivers(now):
            data_uri = await self._data_uri(prediction)
        return prediction.view(now, origin=origin, data_uri=data_uri)

    async def audio(self, prediction: Prediction, part: int = 0, parts: int = 1) -> bytes:
        """The output file of a prediction, or one of several."""
        text = front_end.heard(prediction.text)
        heard = text[: round(len(text) * prediction.spoken)]
        start, end = (len(heard) * number // parts for number in (part, part + 1))
        return await self.speech.output(heard[start:end], self.behaviour.speech)

    async def _data_uri(self, prediction: Prediction) -> str:
        args = prediction.output_args
        encode = base64.urlsafe_b64encode if args.get("url_safe") else base64.b64encode
        encoded = encode(await self.audio(prediction)).decode()
        if not args.get("padded", True):
            encoded = encoded.rstrip("=")
        if args.get("lines"):
            encoded = "\r\n".join(textwrap.wrap(encoded, LINE_CHARS))
        return f"data:audio/wav;base64,{encoded}"


class Routes:
    """Adds handlers to the app under the names that fault rules and statistics use."""

    def __init__(self, app: Sanic[Any, Any], state: State) -> None:
        self._app = app
        self._state = state

    def add(
        self,
        name: str,
        path: str,
        handler: Handler,
        *,
        subject: Subject = lambda _request, _params: "",
        method: str = "GET",
    ) -> None:
        """Answer ``path`` with ``handler``; GET includes HEAD."""
        state = self._state

        async def handle(request: Request, **params: Any) -> HTTPResponse | None:
            state.stats.called(name, token="authorization" in request.headers)

            async def proceed() -> HTTPResponse:
                try:
                    return await handler(request, **params)
                except Refused as refused:
                    return refused.response

            injection = state.faults.draw(name, lambda: subject(request, params))
            if injection is None:
                return await proceed()
            name_of_fault, args = injection
            return await REPLIES[name_of_fault](Call(request, proceed), **args)

        methods = ["GET", "HEAD"] if method == "GET" else [method]
        # Without a format Sanic would read the source of each handler, to guess one for errors.
        self._app.add_route(handle, path, methods=methods, name=name, error_format="json")


def now() -> float:
    """The sandbox's clock; it is the wall clock, because predictions outlive the process."""
    return time.time()


def origin(request: Request) -> str:
    """The base URL as this caller knows it."""
    return f"{request.scheme}://{request.host}"
