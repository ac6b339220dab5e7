"""Tokens: what a key lends for a while to whoever cannot show a key, such as a player of audio.

A token is the key's id, what it is for and when it ends, signed. What the key grants is looked up
when the token is shown, so that a revoked key's tokens are worth nothing.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from itsdangerous import BadData, URLSafeSerializer
from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from gateway.access.roles import Scope, Token
from gateway.errors import BadCredential
from gateway.models import Body


def _object_with_audio(schema: dict[str, Any]) -> None:
    """Publish what the validator checks: ``object`` goes with the scope ``audio``, and only so."""
    schema["if"] = {"properties": {"scope": {"const": "audio"}}, "required": ["scope"]}
    schema["then"] = {"properties": {"object": {"type": "string"}}, "required": ["object"]}
    schema["else"] = {"properties": {"object": {"type": "null"}}}


class TokenRequest(Body):
    """What a token is for."""

    model_config = ConfigDict(json_schema_extra=_object_with_audio)

    scope: Annotated[Scope, Field(strict=False)] = Field(
        default=Scope.STREAM,
        description="`stream` follows, `command` commands over `/ws` as well, `audio` fetches one "
        "audio.",
    )
    object_key: str | None = Field(
        default=None,
        alias="object",
        max_length=100,
        description="For `audio`, and for nothing else: which one, the last part of its URL.",
        examples=["audio-6d0f4b5e-3c43-4d0a-9c0e-2f5b7f3a1c11.wav"],
    )

    @model_validator(mode="after")
    def _of_audio(self) -> Self:
        if (self.scope is Scope.AUDIO) != (self.object_key is not None):
            raise PydanticCustomError("object", "scope audio needs object, and no other has one")
        return self


def write(secret: str, key_id: str, token: Token) -> str:
    """The token as its holder carries it."""
    content = [key_id, token.scope.value, token.ends.timestamp(), token.object_key]
    return str(_serializer(secret).dumps(content))


def read(secret: str, text: str) -> tuple[str, Token]:
    """The key's id, and what is lent; it may have ended.

    Raises:
        BadCredential: it is none of ours.
    """
    try:
        key_id, scope, ends, object_key = _serializer(secret).loads(text)
        return key_id, Token(Scope(scope), datetime.fromtimestamp(ends, UTC), object_key)
    except (BadData, ValueError) as error:
        raise BadCredential("the token is not valid: get one at POST /api/stream-token") from error


def _serializer(secret: str) -> URLSafeSerializer:
    signer = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
    return URLSafeSerializer(secret, salt="tts-token", signer_kwargs=signer)
