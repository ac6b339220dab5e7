"""The OpenAPI 3.1 document, made of the models that validate and of the table of operations."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from gateway import errors
from gateway.access.roles import Need
from gateway.description.examples import answered, refused
from gateway.description.operation import JSON, TASK_ID, Answer, Operation
from gateway.description.operations import OPERATIONS
from gateway.description.samples import samples
from gateway.description.schemas import REF, Json, Schemas, definitions, reference
from gateway.description.webhooks import webhooks
from gateway.models import SpeechRequest, speech_request
from tts import wire
from tts.config import Settings
from tts.domain.failures import CODES

LATER = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}
ALWAYS = ("unavailable",)  # may befall every operation
KEY: Json = {"key": []}
TOKEN: Json = {"streamToken": []}
SECURITY: Mapping[Need, list[Json]] = {
    Need.NOTHING: [],
    Need.READ: [KEY],
    Need.STREAM: [KEY, TOKEN],
    Need.SOCKET: [KEY, TOKEN, {}],  # nothing yet: the first message says it
    Need.AUDIO: [KEY, TOKEN],
    Need.COMMAND: [KEY],
    Need.OPERATE: [KEY],
}
SECURITY_SCHEMES = {
    "key": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer <key>`"},
    "streamToken": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "From `POST /api/stream-token`, with a scope that is for this.",
    },
}
NEED_ERRORS: Mapping[Need, tuple[str, ...]] = {
    Need.NOTHING: (),
    Need.READ: ("unauthorized",),
    Need.STREAM: ("unauthorized", "forbidden"),
    Need.SOCKET: ("unauthorized", "forbidden"),
    Need.AUDIO: ("unauthorized", "forbidden"),
    Need.COMMAND: ("unauthorized", "forbidden"),
    Need.OPERATE: ("unauthorized", "forbidden"),
}
FAILED = {  # of the codes that a task can fail with, one that is answered so
    HTTPStatus.UNPROCESSABLE_ENTITY: "invalid_input",
    HTTPStatus.FAILED_DEPENDENCY: "deadline_exceeded",
}
MEANINGS = {
    "unavailable": "A part that is needed does not answer; it is not known whether this happened.",
    "task_not_failed": "Only a task that has failed can be retried.",
    "task_is_over": "The task is over already.",
    "task_not_over": "The task is not over yet.",
    "body_too_large": "The body has more bytes than the service takes.",
    "unhealthy": "A part that the gateway needs does not answer; `data` names it.",
}
STATUSES = {
    **{code: status for status, code in errors.TABLE.values()},
    **dict.fromkeys(errors.REFUSALS.values(), HTTPStatus.CONFLICT),
    "body_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unhealthy": HTTPStatus.SERVICE_UNAVAILABLE,
}
for _kind, (_, _code) in errors.TABLE.items():
    MEANINGS.setdefault(_code, (_kind.__doc__ or "").partition("\n")[0])

INFO = """\
Text to speech: post a template (a reference voice) and a text, follow what happens, get the audio.

Answers have one envelope: `{"success": true, "data": {…}}`, or `{"success": false, "error": "…",
"code": "…"}` with a sentence for people and a code for machines. What is described here is what the
service checks: a field that is wrong is named in `error`, and nothing is recorded.

Besides the errors listed at each operation, any request may be answered 400 `bad_request`, 404
`not_found`, 405 `method_not_allowed` (see `Allow`), 408 `request_timeout`, 413 `body_too_large`,
414 `uri_too_long`, 417 `expectation_failed`, 421 `host_not_allowed` (see `ALLOWED_HOSTS` in the
README) or 431 `header_too_large`. HEAD is served wherever GET is. With 503 `unavailable` ask again
after `Retry-After` seconds; send an `Idempotency-Key` with a new text, so that it is not spoken
twice.

Ready-made clients resume their streams by themselves. In JavaScript `/client/SSEClient.js` is a
plain script that defines the global `TTSEventClient`; for `import { TTSEventClient }` take
`/client/SSEClient.mjs`, since no script that contains `export` can be loaded as a plain one. Their
types lie beside them, and `/sse-client-example.html` shows them at work. In Python there is
`tts.client`.

If the service has keys, requests carry one: `Authorization: Bearer <key>`. The tasks of others then
answer 404, as if they were not there."""


FAILURES = "\n".join(
    f"- `{code}`: {failure.meaning} {failure.action}" for code, failure in sorted(CODES.items())
)
TAGS = [
    {"name": "Speech", "description": "Have texts spoken, and a say in what becomes of them."},
    {
        "name": "Tasks",
        "description": f"What became of them. Each `code` of a failure:\n\n{FAILURES}",
    },
    {"name": "Dead letters", "description": "What has failed for good."},
    {"name": "Streams", "description": "What happens, as it happens."},
    {"name": "Operation", "description": "For those who run the service."},
]


def path_of(route: str) -> str:
    """Sanic's path as OpenAPI writes it, with the parameters' names as in the answers."""
    return re.sub(r"<(\w+)(?::\w+)?>", lambda match: f"{{{_camel(match[1])}}}", route)


def document(settings: Settings, served: Mapping[tuple[str, str], Need], *, guarded: bool) -> Json:
    """The document of the operations that are ``served``: method and path, and who may.

    Where nothing is ``guarded`` by keys, nothing is said of them.
    """
    builder = _Builder(settings, guarded=guarded)
    paths: defaultdict[str, Json] = defaultdict(dict)
    for (method, path), operation in OPERATIONS.items():
        if (method, path) in served:
            paths[path][method.lower()] = builder.operation(
                method, path, operation, served[method, path]
            )
    return {
        "openapi": "3.1.0",
        "tags": TAGS,
        "info": {
            "title": "Text to speech",
            "version": version("tts-backend"),
            "description": INFO,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": settings.gateway_url}],
        "paths": dict(paths),
        "webhooks": webhooks(),
        "components": {"schemas": builder.schemas}
        | ({"securitySchemes": SECURITY_SCHEMES} if guarded else {}),
    }


class _Builder:
    def __init__(self, settings: Settings, *, guarded: bool) -> None:
        self._guarded = guarded
        self._speech_request = speech_request(settings)
        self._base = settings.gateway_url
        types: list[type[Any]] = [
            self._speech_request,
            wire.Refusal,
            wire.Unhealthy,
            wire.TaskUpdate,
            wire.TaskEnd,
        ]
        for operation in OPERATIONS.values():
            models = [operation.body, *(answer.model for answer in operation.answers.values())]
            types += [m for m in models if m is not None and m is not SpeechRequest]
        self.schemas = definitions(types)

    def operation(self, method: str, path: str, operation: Operation, need: Need) -> Json:
        entry: Json = {
            "tags": [operation.tag],
            "summary": operation.summary,
            "operationId": operation.id,
            "responses": self._responses(operation, need),
            "x-codeSamples": samples(
                method,
                self._base,
                path,
                operation,
                guarded=self._guarded and need is not Need.NOTHING,
            ),
        }
        if self._guarded:
            entry["security"] = SECURITY[need]
        if operation.description:
            entry["description"] = operation.description.replace("{base}", self._base)
        parameters = [*operation.parameters, *self._query(operation)]
        if parameters:
            entry["parameters"] = parameters
        if operation.body is not None:
            content = {"schema": reference(operation.body), "example": operation.example}
            required = not operation.body_is_optional
            entry["requestBody"] = {"required": required, "content": {JSON: content}}
        return entry

    def _query(self, operation: Operation) -> list[Json]:
        if operation.query is None:
            return []
        schema = operation.query.model_json_schema(ref_template=REF, schema_generator=Schemas)
        self.schemas.update(schema.get("$defs", {}))
        parameters = []
        for name, field in schema["properties"].items():
            # Left out is how a query says null.
            (kind,) = [s for s in field.get("anyOf", [field]) if s.get("type") != "null"]
            kind = {k: v for k, v in kind.items() if k != "description"}
            parameter = {"name": name, "in": "query", "schema": kind}
            if "description" in field:
                parameter["description"] = field["description"]
            parameters.append(parameter)
        return parameters

    def _responses(self, operation: Operation, need: Need) -> Json:
        responses = {
            str(status): self._answer(answer, answered(operation.id, status))
            for status, answer in operation.answers.items()
        }
        codes: defaultdict[int, list[str]] = defaultdict(list)
        denials = NEED_ERRORS[need] if self._guarded else ()
        limits = () if need is Need.NOTHING else ("rate_limited",)
        for code in (*operation.errors, *denials, *limits, *ALWAYS):
            codes[STATUSES[code]].append(code)
        for status in sorted(codes.keys() | operation.outcomes.keys()):
            responses[str(int(status))] = self._refusal(status, codes[status], operation)
        return responses

    def _answer(self, answer: Answer, example: Any) -> Json:
        response: Json = {"description": answer.description}
        if answer.headers:
            response["headers"] = {
                name: {"description": meaning, "schema": {"type": "string"}}
                for name, meaning in answer.headers.items()
            }
        if answer.leads_to:
            response["links"] = {
                name: {
                    "operationId": OPERATIONS[target].id,
                    "parameters": {"path.taskId": "$response.body#/data/taskId"},
                }
                for name, target in answer.leads_to.items()
            }
        for content_type in answer.content_types:
            is_text = content_type.startswith(("text/", "audio/"))
            content: Json = {"schema": {"type": "string"} if is_text else {}}
            if answer.model is not None:
                example = {"success": True, "data": example}
                content["schema"] = {
                    "type": "object",
                    "required": ["success", "data"],
                    "properties": {
                        "success": {"const": True},
                        "data": reference(answer.model),
                    },
                }
            if example is not None:
                content["example"] = example
            response.setdefault("content", {})[content_type] = content
        return response

    def _refusal(self, status: int, codes: list[str], operation: Operation) -> Json:
        lines = [f"- `{code}`: {MEANINGS[code]}" for code in codes]
        examples = {code: refused(code, MEANINGS[code]) for code in codes}
        schema: Json = reference(wire.Refusal)
        if (outcome := operation.outcomes.get(status)) is not None:
            lines.append(f"- {outcome}")
            code = FAILED[HTTPStatus(status)]
            meaning, task_id = CODES[code].meaning, TASK_ID["example"]
            examples[code] = refused(code, meaning, taskId=task_id)
        elif (data := answered(operation.id, status)) is not None:
            schema = reference(wire.Unhealthy)
            examples = {code: refused(code, MEANINGS[code], data=data) for code in codes}
        else:
            schema = {"allOf": [schema, {"properties": {"code": {"enum": codes}}}]}
        content = {JSON: {"schema": schema, "examples": examples}}
        response: Json = {"description": "\n".join(lines), "content": content}
        if status in LATER:
            seconds = {"type": "string", "pattern": "^[0-9]+$"}
            response["headers"] = {"Retry-After": {"description": "In seconds.", "schema": seconds}}
        return response


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other[:1].upper() + other[1:] for other in others)
