"""Replicate's HTTP API, version 1: predictions, and the pages of the one model."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

import orjson
from sanic import HTTPResponse, Request

from tts.sandbox import model, reading
from tts.sandbox.fates import FATES
from tts.sandbox.predictions import Fate, Prediction, begin
from tts.sandbox.problems import Refused, problem
from tts.sandbox.routes import Routes, State, now, origin
from tts.sandbox.webhooks import Webhooks

# A cancellation moves the end while somebody waits for it, so the wait looks again this often.
WAIT_STEP_SECONDS = 0.1


class Api:
    """The handlers; ``add_to`` gives them their paths."""

    def __init__(self, state: State, webhooks: Webhooks, secret: str) -> None:
        self._state = state
        self._webhooks = webhooks
        self._secret = secret

    def add_to(self, routes: Routes) -> None:
        """Add every route of the API."""
        page = "/v1/models/<owner>/<name>"
        one = "/v1/predictions/<prediction_id>"

        def body(request: Request, _params: dict[str, Any]) -> str:
            return reading.spoken_text(request)

        def text(_request: Request, params: dict[str, Any]) -> str:
            prediction = self._state.shelf.get(params["prediction_id"])
            return prediction.text if prediction else ""

        routes.add("create", "/v1/predictions", self._create, subject=body, method="POST")
        routes.add("list", "/v1/predictions", self._list)
        routes.add("get", one, self._get, subject=text)
        routes.add("cancel", f"{one}/cancel", self._cancel, subject=text, method="POST")
        routes.add("model", page, self._model)
        routes.add("version", f"{page}/versions/<version>", self._version)
        routes.add("secret", "/v1/webhooks/default/secret", self._webhook_secret)

    async def _create(self, request: Request) -> HTTPResponse:
        reading.authenticate(request)
        body = reading.read_object(request)
        behaviour, faults = self._state.behaviour, self._state.faults
        version = reading.permitted_version(body, behaviour.versions)
        given = model.check_input(body.get("input"))
        webhook, events = reading.webhook(body)
        cancel_after = reading.cancel_after(request)
        text = str(given["tts_text"])

        refusal = model.refusal_of_model(given)
        fate = Fate() if refusal is None else Fate(final="failed", error=refusal)
        injection = faults.draw("prediction", lambda: text)
        if injection is not None:
            name, args = injection
            fate = FATES[name](**args)
        prediction = begin(
            version=version,
            given=given,
            fate=fate,
            behaviour=behaviour,
            cancel_after=cancel_after,
            origin=origin(request),
            now=now(),
            webhook=webhook,
            webhook_events=events,
            webhook_fault=faults.draw("webhook", lambda: text) if webhook else None,
        )
        self._state.shelf.add(prediction)
        self._state.stats.created(prediction)
        self._webhooks.schedule(prediction, prediction.created_at)

        wait = reading.wait_seconds(request)
        if wait is None:
            return await self._show(request, prediction, status=201)
        return await self._wait(request, prediction, prediction.created_at + wait)

    async def _wait(self, request: Request, prediction: Prediction, until: float) -> HTTPResponse:
        while (left := min(prediction.ends_at, until) - now()) > 0:
            await asyncio.sleep(min(left, WAIT_STEP_SECONDS))
        view = await self._state.view(prediction, now(), origin(request))
        if view["output"] is None:
            return _json(view, 202)
        # The real one answers as soon as there is an output, before it has closed its books.
        view["status"] = "processing"
        del view["completed_at"], view["metrics"]
        return _json(view, 201)

    async def _get(self, request: Request, prediction_id: str) -> HTTPResponse:
        reading.authenticate(request)
        self._state.stats.polled(prediction_id)
        return await self._show(request, self._find(prediction_id))

    async def _cancel(self, request: Request, prediction_id: str) -> HTTPResponse:
        reading.authenticate(request)
        prediction, moment = self._find(prediction_id), now()
        if self._state.shelf.cancel(prediction, moment):
            self._state.stats.canceled(prediction)
            self._webhooks.schedule(prediction, moment)
        return await self._show(request, prediction)

    async def _list(self, request: Request) -> HTTPResponse:
        reading.authenticate(request)
        moment = now()
        cursor = request.args.get("cursor", "")
        try:
            page = self._state.shelf.page(
                after=reading.moment(request, "created_after", 0.0),
                before=reading.moment(request, "created_before", moment + 1),
                older_than=cursor[1:] if cursor.startswith("n") else None,
                newer_than=cursor[1:] if cursor.startswith("p") else None,
            )
        except KeyError as error:
            raise Refused(problem(404, detail="Invalid cursor")) from error
        query = {key: values[0] for key, values in request.args.items() if key != "cursor"}

        def url(mark: str, prediction_id: str | None) -> str | None:
            if prediction_id is None:
                return None
            more = urlencode({**query, "cursor": mark + prediction_id})
            return f"{origin(request)}/v1/predictions?{more}"

        return _json(
            {
                "next": url("n", page.older),
                "previous": url("p", page.newer),
                "results": [
                    await self._state.view(item, moment, origin(request)) for item in page.items
                ],
            }
        )

    async def _version(self, request: Request, owner: str, name: str, version: str) -> HTTPResponse:
        reading.authenticate(request)
        if (owner, name) != (model.OWNER, model.NAME):
            raise Refused(problem(404))
        if not reading.is_version(version, self._state.behaviour.versions):
            raise Refused(problem(404))
        return _json(model.version_object(version))

    async def _model(self, request: Request, owner: str, name: str) -> HTTPResponse:
        reading.authenticate(request)
        if (owner, name) != (model.OWNER, model.NAME):
            raise Refused(problem(404))
        allowed = self._state.behaviour.versions
        return _json(model.model_object(allowed[0] if allowed else model.VERSION))

    async def _webhook_secret(self, request: Request) -> HTTPResponse:
        reading.authenticate(request)
        return _json({"key": self._secret})

    def _find(self, prediction_id: str) -> Prediction:
        prediction = self._state.shelf.get(prediction_id)
        if prediction is None:
            raise Refused(problem(404))
        return prediction

    async def _show(
        self, request: Request, prediction: Prediction, status: int = 200
    ) -> HTTPResponse:
        return _json(await self._state.view(prediction, now(), origin(request)), status)


def _json(body: dict[str, Any], status: int = 200) -> HTTPResponse:
    return HTTPResponse(orjson.dumps(body), status, content_type="application/json")
