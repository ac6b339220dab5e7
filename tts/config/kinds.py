"""The kinds of values that settings have, each with its check and its bounds.

The bounds are far from what anybody needs; they keep out numbers that no clock or socket takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from tts.config import addresses
from tts.config.text import password, visible_ascii, without_controls
from tts.http.signing_key import signing_key

_MOST = 1_000_000_000
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]*")
_IPV4 = re.compile(r"\d+\.\d+\.\d+\.\d+", re.ASCII)


def _plain_path(path: Path) -> Path:
    without_controls(str(path))
    return path


def _bucket(text: str) -> str:
    shape = _BUCKET.fullmatch(text) and not re.search(r"\.\.|\.-|-\.", text)
    if not shape or _IPV4.fullmatch(text):
        raise ValueError(
            "must be a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens, each "
            "dot between letters or digits, and no IP address"
        )
    return text


def _region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise ValueError("must be a region such as us-east-1: letters, digits and hyphens")
    return text


def _version(text: str) -> str:
    if not _VERSION.fullmatch(text):
        raise ValueError("must be the id of a version of the model")
    return text


def _secret(check: Callable[[str], object]) -> AfterValidator:
    def checked(secret: SecretStr) -> SecretStr:
        if text := secret.get_secret_value():
            check(text)
        return secret

    return AfterValidator(checked)


def _optional(check: Callable[[str], str]) -> AfterValidator:
    return AfterValidator(lambda text: check(text) if text else text)


def _list(read: Callable[[str], frozenset[str]]) -> BeforeValidator:
    return BeforeValidator(lambda value: read(value) if isinstance(value, str) else value)


Positive = Annotated[int, Field(gt=0, le=_MOST)]
NotNegative = Annotated[int, Field(ge=0, le=_MOST)]
Seconds = Annotated[int, Field(gt=0, le=31_536_000)]
Milliseconds = Annotated[int, Field(gt=0, le=86_400_000)]
Port = Annotated[int, Field(ge=0, le=65_535)]

Folder = Annotated[Path, AfterValidator(_plain_path)]
Host = Annotated[str, AfterValidator(addresses.host)]
HostNames = Annotated[str, AfterValidator(addresses.names_below_hosts)]
AllowedHosts = Annotated[frozenset[str], NoDecode, _list(addresses.allowed_hosts)]
CallbackHosts = Annotated[frozenset[str], NoDecode, _list(addresses.host_names)]
Origins = Annotated[str, AfterValidator(addresses.origins)]
WebUrl = Annotated[str, AfterValidator(addresses.web_url)]
OptionalWebUrl = Annotated[str, _optional(addresses.web_url)]
Endpoint = Annotated[str, _optional(addresses.endpoint)]
PublicEndpoint = Annotated[str, _optional(addresses.public_endpoint)]
Bucket = Annotated[str, AfterValidator(_bucket)]
Region = Annotated[str, AfterValidator(_region)]
Version = Annotated[str, AfterValidator(_version)]
KeyName = Annotated[str, _optional(visible_ascii)]

StoreUrl = Annotated[SecretStr, _secret(addresses.store_url)]
DirectUrl = Annotated[SecretStr, _secret(addresses.database_url)]
BrokerUrl = Annotated[SecretStr, _secret(addresses.broker_url)]
Token = Annotated[SecretStr, _secret(visible_ascii)]
Password = Annotated[SecretStr, _secret(password)]
SigningSecret = Annotated[SecretStr, _secret(signing_key)]
