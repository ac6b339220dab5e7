"""The sandbox's own pages: help, settings, faults and counters."""

from __future__ import annotations

import inspect
from typing import Any

import orjson
from sanic import HTTPResponse, Request, Sanic
from sanic.response import text

from tts.sandbox import faults, model
from tts.sandbox.predictions import Fate, begin
from tts.sandbox.routes import State, now
from tts.sandbox.shelf import MOST

HELP = """\
A local stand-in for Replicate's API and for the host of the reference voices.

  POST /v1/predictions                        as at Replicate; any bearer token will do
  GET  /v1/predictions, /v1/predictions/{id}, POST /v1/predictions/{id}/cancel
  GET  /{templateId}/source_audio.mp3, /{templateId}/source_transcript.txt

  GET|PATCH           /sandbox/settings       boot_seconds, predict_seconds, ... as JSON
  GET|DELETE          /sandbox/stats          what was created, polled and leaked; DELETE resets
  GET|PUT|POST|DELETE /sandbox/faults         what is to go wrong
  POST                /sandbox/crowd          {"predictions": 5000}: others create so many now

"""


class Control:
    """The handlers under ``/sandbox``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add_to(self, app: Sanic[Any, Any]) -> None:
        """Add every route."""
        for path, handler, methods in (
            ("/sandbox", self._help, ["GET"]),
            ("/sandbox/settings", self._settings, ["GET", "PATCH"]),
            ("/sandbox/stats", self._stats, ["GET", "DELETE"]),
            ("/sandbox/faults", self._faults, ["GET", "PUT", "POST", "DELETE"]),
            ("/sandbox/crowd", self._crowd, ["POST"]),
        ):
            app.add_route(
                handler, path, methods=methods, name=handler.__name__, error_format="json"
            )

    async def _help(self, _request: Request) -> HTTPResponse:
        rules = inspect.cleandoc(faults.__doc__ or "")
        return text(f"{HELP}{rules}\n{faults.describe()}\n")

    async def _settings(self, request: Request) -> HTTPResponse:
        if request.method == "PATCH":
            try:
                self._state.behaviour = self._state.behaviour.changed(orjson.loads(request.body))
            except (ValueError, TypeError, AttributeError) as error:
                return _json({"error": str(error)}, 400)
        return _json(self._state.behaviour)

    async def _stats(self, request: Request) -> HTTPResponse:
        if request.method == "DELETE":
            self._state.stats.reset()
        return _json(self._state.stats.snapshot(now()))

    async def _faults(self, request: Request) -> HTTPResponse:
        rules = self._state.faults
        try:
            if request.method == "PUT":
                rules.replace(orjson.loads(request.body))
            elif request.method == "POST":
                rules.add(orjson.loads(request.body))
            elif request.method == "DELETE":
                rules.replace([])
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        return _json(rules.as_json())

    async def _crowd(self, request: Request) -> HTTPResponse:
        try:
            count = int(orjson.loads(request.body)["predictions"])
        except (ValueError, TypeError, KeyError):
            return _json({"error": 'send {"predictions": 5000}, or another number'}, 400)
        for number in range(min(count, MOST)):
            self._state.shelf.add(
                begin(
                    version=model.VERSION,
                    given={**dict.fromkeys(model.REQUIRED, ""), "tts_text": f"other {number}"},
                    fate=Fate(),
                    behaviour=self._state.behaviour,
                    now=now(),
                )
            )
        return _json({"predictions": min(count, MOST)})


def _json(body: object, status: int = 200) -> HTTPResponse:
    return HTTPResponse(orjson.dumps(body), status, content_type="application/json")
