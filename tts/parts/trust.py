"""Which authorities vouch for the servers that we call by https."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path

from tts.config import ConfigError, Settings


def trust_of(settings: Settings) -> ssl.SSLContext | None:
    """The machine's own authorities and that of ``TLS_CA_FILE``; None for the former alone.

    Raises:
        ConfigError: the file holds no certificates.
    """
    return _with(settings.tls_ca_file) if settings.tls_ca_file else None


@cache
def _with(file: Path) -> ssl.SSLContext:
    trust = ssl.create_default_context()
    try:
        trust.load_verify_locations(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no PEM"
        raise ConfigError(
            f"TLS_CA_FILE: {file} cannot be read as certificates (PEM): {reason}"
        ) from error
    return trust
