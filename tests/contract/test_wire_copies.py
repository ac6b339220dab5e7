"""What other languages say of the wire is what its types say, field by field."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import yaml
from pydantic import TypeAdapter

from gateway.commands import IDEMPOTENCY_KEY
from gateway.description import prose
from gateway.history import TASKS_MAX
from gateway.models import CancelRequest, RetryRequest, SpeechRequest
from gateway.session import KINDS
from gateway.ws_models import Authenticate, Key, Message, Subscribe, Unsubscribe
from projections.task_queries import _WIRE_NAMES
from tests.contract import wire_shapes
from tests.contract.wire_shapes import Field, Shape, python_hint, shape, shape_of
from tts import client, wire
from tts.client import results
from tts.client.results import TIMES
from tts.domain.values import FINAL, AudioFormat, Priority, Status

STATIC = Path(__file__).parents[2] / "gateway" / "static"
ASYNCAPI = yaml.safe_load((STATIC / "asyncapi.yaml").read_text())


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


class TestPython:
    @pytest.mark.parametrize(
        ("result", "kinds"),
        [
            (client.Accepted, (wire.Accepted, wire.Spoken)),
            (client.Task, (wire.TaskAnswer, wire.TaskRow)),
            (client.Update, (wire.TaskUpdate,)),
        ],
    )
    def test_a_result_has_the_fields_of_its_answers(self, result, kinds):
        """No more, no fewer, and of the same types; what may be missing or null may be None."""
        fields = shape(*kinds, spell=wire_shapes.python)
        fields = {camel(name): field for name, field in fields.items()}  # the original's audio_url
        hints = get_type_hints(result)
        assert {camel(f.name): python_hint(hints[f.name]) for f in dataclasses.fields(result)} == {
            name: field.types | (set() if field.required else {"None"})
            for name, field in fields.items()
        }
        for field in dataclasses.fields(result):
            may_be_none = "None" in python_hint(hints[field.name])
            assert (field.default is None) == may_be_none, field.name
            is_time = "datetime" in python_hint(hints[field.name])
            assert (field.name in TIMES) == is_time, field.name


class Declarations:
    """The interfaces and unions of SSEClient.d.ts."""

    def __init__(self, text: str) -> None:
        text = re.sub(r"/\*\*.*?\*/", "", text, flags=re.DOTALL)
        self.unions = {
            name: frozenset(re.findall(r'"\w+"', body))
            for name, body in re.findall(r'export type (\w+) =([\s|]*(?:"\w+"[\s|]*)+);', text)
        }
        self._bodies = {
            name: (parent, body)
            for name, parent, body in re.findall(
                r"export interface (\w+)(?: extends (\w+))? \{\n(.*?)^\}",
                text,
                re.DOTALL | re.MULTILINE,
            )
        }
        self.names = set(self._bodies)

    def shape(self, name: str) -> Shape:
        """The interface's fields, with those that it extends."""
        parent, body = self._bodies[name]
        fields = self.shape(parent) if parent else {}
        lines = [line.strip() for line in body.splitlines() if line.strip()]
        for line in lines:
            found = re.fullmatch(r"(\w+)(\??): (.+);", line)
            assert found, f"{name}: {line!r} is no field"
            kinds = frozenset(found[3].split(" | "))
            for union in kinds & self.unions.keys():
                kinds = kinds - {union} | self.unions[union]
            fields[found[1]] = Field(not found[2], kinds)
        return fields


DECLARED = Declarations((STATIC / "SSEClient.d.ts").read_text())
INTERFACES = {
    "Started": (wire.Accepted, wire.Spoken),
    "Answer": (wire.RetryAccepted,),
    "CancelAnswer": (wire.CancelAccepted,),
    "TaskUpdate": (wire.TaskUpdate,),
    "Task": (wire.TaskAnswer,),
    "Connected": (wire.Connected,),
    "Heartbeat": (wire.Heartbeat,),
    "Reset": (wire.Reset,),
    "Token": (wire.StreamToken,),
}
REQUEST_INTERFACES = {"GenerateRequest": SpeechRequest, "RetryRequest": RetryRequest}
# What is between an app and the client, and not on the wire.
OWN_INTERFACES = {"ClientOptions", "EventSourceLike", "AudioPart", "EventMap"}
OWN_FIELDS = {
    "TaskUpdate": {"snapshot"},
    "GenerateRequest": {"wait", "idempotencyKey"},  # headers
}
OWN_OPTIONAL = {("Token", "expiresAt")}  # an app's own tokens may not say


class TestTypeScript:
    def test_every_interface_is_held_against_the_wire(self):
        """None is forgotten here."""
        assert DECLARED.names == INTERFACES.keys() | REQUEST_INTERFACES.keys() | OWN_INTERFACES

    @pytest.mark.parametrize("name", INTERFACES)
    def test_an_answer_has_the_fields_of_the_wire(self, name):
        """No more, no fewer, of the same types, and optional only if they may be left out."""
        fields = DECLARED.shape(name)
        for own in OWN_FIELDS.get(name, ()):
            del fields[own]
        for interface, optional in OWN_OPTIONAL:
            if interface == name:
                fields[optional] = dataclasses.replace(fields[optional], required=True)
        assert fields == shape(*INTERFACES[name], spell=wire_shapes.typescript)

    @pytest.mark.parametrize("name", REQUEST_INTERFACES)
    def test_a_request_has_the_fields_of_its_model(self, name):
        """Whoever has nothing to say leaves the field out, and need not say null."""
        fields = DECLARED.shape(name)
        for own in OWN_FIELDS.get(name, ()):
            del fields[own]
        model = shape(REQUEST_INTERFACES[name], spell=wire_shapes.typescript)
        assert fields == {n: Field(f.required, f.types - {"null"}) for n, f in model.items()}

    def test_words_are_those_of_the_domain(self):
        """A status that an app cannot name would break its exhaustive switch."""
        assert DECLARED.unions == {
            "TaskStatus": {f'"{status}"' for status in Status},
            "Priority": {f'"{priority}"' for priority in Priority},
            "AudioFormat": {f'"{audio_format}"' for audio_format in AudioFormat},
        }


SENT = {
    "connected": wire.ConnectedMessage,
    "task_update": wire.TaskUpdateMessage,
    "heartbeat": wire.HeartbeatMessage,
    "reset": wire.ResetMessage,
    "ack": wire.AckMessage,
    "error": wire.ErrorMessage,
    "pong": wire.PongMessage,
}
RECEIVED = {
    "authenticate": (Message, Authenticate),
    "subscribe": (Message, Subscribe),
    "unsubscribe": (Message, Unsubscribe),
    "generate": (Message, SpeechRequest, Key),
    "retry": (Message, RetryRequest),
    "cancel": (Message, CancelRequest),
    "ping": (Message,),
}


class TestWords:
    """Words that are written down in several languages."""

    def test_the_clients_know_which_statuses_are_final(self):
        """Else they would wait for ever, or give up too early."""
        script = (STATIC / "SSEClient.js").read_text()
        (words,) = re.findall(r"const FINAL = new Set\((\[.*?\])\)", script)
        assert set(json.loads(words)) == results.FINAL == {status.value for status in FINAL}

    @pytest.mark.parametrize(("name", "kind"), [("priority", Priority), ("format", AudioFormat)])
    def test_the_python_client_offers_each_word(self, name, kind):
        """No more, and none is missing."""
        words, _ = get_args(get_type_hints(client.Client.generate)[name])  # or None
        assert set(get_args(words)) == set(kind)

    def test_the_prose_names_each_status(self):
        """And the examples of frames have the fields of the wire."""
        (paragraph,) = re.findall(r"^Statuses, .*?\n\n", prose.SSE, re.DOTALL | re.MULTILINE)
        words = set(re.findall(r"`(\w+)`", paragraph))
        assert words == set(Status)
        frames = dict(re.findall(r"event: (\w+)\ndata: (\{.*\})", prose.SSE))
        fields = {name: json.loads(frame).keys() for name, frame in frames.items()}
        spell = wire_shapes.json_schema
        assert fields["connected"] == shape(wire.Connected, spell=spell).keys()
        assert fields["heartbeat"] == shape(wire.Heartbeat, spell=spell).keys()
        assert fields["task_update"] <= shape(wire.TaskUpdate, spell=spell).keys()


class TestAsyncAPI:
    def test_every_message_is_held_against_its_type(self):
        """None is forgotten here, and the document lists each under its channel and direction."""
        messages = SENT.keys() | RECEIVED.keys()
        assert RECEIVED.keys() == KINDS.keys()
        assert ASYNCAPI["components"]["messages"].keys() == messages
        assert ASYNCAPI["channels"]["ws"]["messages"].keys() == messages
        for direction, kinds in (("fromClient", RECEIVED), ("toClient", SENT)):
            listed = ASYNCAPI["operations"][direction]["messages"]
            assert [each["$ref"].rpartition("/")[2] for each in listed] == list(kinds)

    @pytest.mark.parametrize("name", SENT)
    def test_what_the_service_sends_is_as_described(self, name):
        """No field more, none fewer, of the same types and with the same bounds."""
        assert self._described(name) == shape(SENT[name], spell=wire_shapes.json_schema)

    @pytest.mark.parametrize("name", RECEIVED)
    def test_what_a_client_sends_is_as_described(self, name):
        """The fields that the service looks at, and which of them it must have."""
        fields: Shape = {}
        for model in RECEIVED[name]:
            fields |= shape(model, spell=wire_shapes.json_schema)
        fields["type"] = Field(required=True, types=frozenset({f'"{name}"'}))
        described = {n: _without_formats(f) for n, f in self._described(name).items()}
        assert described == {n: _without_formats(f) for n, f in fields.items()}

    def test_bounds_of_what_a_client_sends_are_as_described(self):
        """How many tasks, which templates, how long an id."""
        schemas = ASYNCAPI["components"]["schemas"]
        assert schemas["taskIds"]["maxItems"] == TASKS_MAX
        (id_schema, *_) = TypeAdapter(Message).json_schema()["properties"]["id"]["anyOf"]
        assert schemas["id"]["maxLength"] == id_schema["maxLength"]
        generate = ASYNCAPI["components"]["messages"]["generate"]["payload"]["properties"]
        template = TypeAdapter(SpeechRequest).json_schema()["properties"]["templateId"]
        assert generate["templateId"]["pattern"] == template["pattern"]
        assert generate["priority"]["default"] == Priority.NORMAL
        assert generate["idempotencyKey"]["pattern"] == f"^{IDEMPOTENCY_KEY.pattern}$"

    def _described(self, name: str) -> Shape:
        payload = ASYNCAPI["components"]["messages"][name]["payload"]
        return shape_of(payload, ASYNCAPI, wire_shapes.json_schema)


def _without_formats(field: Field) -> Field:
    """Which ids exist is for the service to say, not for a validator of formats."""
    spelt = (re.sub(r', "format": "\w+"', "", kind) for kind in field.types)
    return Field(field.required, frozenset(spelt))


def test_a_row_of_the_list_has_what_the_read_model_has():
    """The audio's URL and its format are made of its key when the list is answered."""
    names = set(_WIRE_NAMES.values()) - {"objectKey"} | {"audioUrl", "format"}
    assert shape(wire.TaskRow, spell=wire_shapes.json_schema).keys() == names
