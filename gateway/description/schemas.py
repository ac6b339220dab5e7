"""JSON schemas of what clients send (models) and of what they get (the types of the wire)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

Json = dict[str, Any]

REF = "#/components/schemas/{model}"


class Schemas(GenerateJsonSchema):
    """Without a title for each field, which only repeats its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        """Never."""
        return False


def definitions(types: Iterable[type[Any]]) -> Json:
    """The schemas of the types and of all that they refer to, by name."""
    _, schemas = TypeAdapter.json_schemas(
        [(kind.__name__, "validation", TypeAdapter(kind)) for kind in dict.fromkeys(types)],
        ref_template=REF,
        schema_generator=Schemas,
    )
    named: Json = schemas["$defs"]
    return named


def reference(kind: type[Any]) -> Json:
    """Where a document that holds the :func:`definitions` has the type."""
    return {"$ref": REF.format(model=kind.__name__)}
