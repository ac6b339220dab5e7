"""Reading the settings: one sentence for each that is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tts.config.settings import ENV_FILE, Settings
from tts.config.text import quotation

SIMILAR = 0.8  # of the letters: a typo, and no name of another program

_UNSHOWN = {"minio_access_key"} | {
    name for name, field in Settings.model_fields.items() if "SecretStr" in repr(field.annotation)
}
_SENTENCES: Mapping[str, str] = {
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_unicode": "must be text in UTF-8",
    "string_type": "must be text in UTF-8",
}


class ConfigError(Exception):
    """A setting is wrong; the message names it, its value and what is allowed."""


def load(**overrides: Any) -> Settings:
    """Read the environment and ``.env``; ``overrides`` (from the command line) win.

    Raises:
        ConfigError: one line for each wrong setting.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = [_sentence(item) for item in error.errors(include_url=False)]
        # Without its cause, which quotes the values.
        raise ConfigError("\n".join(lines)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{ENV_FILE}: must be text in UTF-8: {error.reason}") from None
    except OSError as error:
        raise ConfigError(f"{ENV_FILE}: cannot be read: {error.strerror}") from None


def strange_names() -> list[str]:
    """A sentence for each name in ``.env`` that reads like a setting, and one for the others.

    Those may be for another program that reads the same file.
    """
    ours = [name.upper() for name in Settings.model_fields]
    lines, others = [], []
    for name in dotenv_values(ENV_FILE, encoding="utf-8", interpolate=False):
        similar = difflib.get_close_matches(name.upper(), ours, n=1, cutoff=SIMILAR)
        if name.upper() in ours:
            continue
        if similar:
            lines.append(f"{ENV_FILE}: {quotation(name)} is no setting; is {similar[0]} meant?")
        else:
            others.append(quotation(name))
    if others:
        lines.append(f"{ENV_FILE}: not for this service: {', '.join(others)}")
    return lines


def _sentence(item: ErrorDetails) -> str:
    context = item.get("ctx", {})
    template = _SENTENCES.get(item["type"])
    reason = template.format(**context) if template else item["msg"].removeprefix("Value error, ")
    if not item["loc"]:
        return reason  # it names several settings
    name = str(item["loc"][0])
    blank = isinstance(item["input"], str) and not item["input"].strip()
    value = (
        " (is blank)" if blank else "" if name in _UNSHOWN else f" (is {quotation(item['input'])})"
    )
    return f"{name.upper()}: {reason}{value}"
