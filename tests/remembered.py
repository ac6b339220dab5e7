"""What libraries find out anew with each test, and need not: it is remembered for the whole run."""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable
from functools import cache, wraps
from types import SimpleNamespace
from typing import Any

from httpx._transports import default as httpx_transports
from pydantic.fields import FieldInfo
from pydantic_settings.sources import base
from pydantic_settings.sources.providers import env
from sanic_routing import router

from tts.sandbox import voice


def remember() -> None:
    """From now on."""
    # Reading the authorities of the world takes 20 ms, and every httpx client would do it.
    httpx_transports.create_ssl_context = cache(httpx_transports.create_ssl_context)
    # The voice that all sandboxes have takes longer.
    voice.mp3 = cache(voice.mp3)
    # Of the 4 ms for Settings(), 3 are for the kinds of its fields.
    for source, method in (
        (base.PydanticBaseEnvSettingsSource, "_extract_field_info"),
        (base.PydanticBaseSettingsSource, "field_is_complex"),
        (env.EnvSettingsSource, "_field_is_complex"),
    ):
        setattr(source, method, _of_field(getattr(source, method)))
    # A router shows its source to whoever looks at it, and mends what only its optimizer breaks.
    needless = dict.fromkeys(("unparse", "fix_missing_locations"), lambda _: None)
    router.ast = SimpleNamespace(**{**vars(ast), **needless})


def _of_field(method: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a field of settings, whose answer does not change."""
    answers: dict[Hashable, tuple[FieldInfo, Any]] = {}

    @wraps(method)
    def remembered(source: Any, field: FieldInfo, *more: Hashable) -> Any:
        key = type(source), id(field), more
        if key not in answers:
            answers[key] = field, method(source, field, *more)
        return answers[key][1]

    return remembered
