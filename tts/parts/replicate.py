"""Replicate, or the sandbox in its place: predictions, and what its webhooks are signed with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from tts.config import ConfigError, Settings
from tts.parts.trust import trust_of
from tts.replicate.predictions import ReplicatePredictions
from tts.replicate.remote_clock import utc_now
from tts.replicate.webhook_secret import AccountSecret

logger = logging.getLogger(__name__)

SANDBOX_TOKEN = "sandbox"  # noqa: S105 -- which takes any


def replicate_predictions(
    settings: Settings, *, webhook: str, now: Callable[[], datetime] = utc_now
) -> ReplicatePredictions:
    """The account's predictions; Replicate tells ``webhook`` of them, if that is a URL.

    ``now`` is the clock of those who ask for them.

    Raises:
        ConfigError: nothing says whom to ask.
    """
    token = settings.replicate_api_token.get_secret_value()
    if not token and not settings.replicate_is_local:
        raise ConfigError(
            "REPLICATE_API_TOKEN is not set: set it, or start `tts sandbox` and point "
            "REPLICATE_BASE_URL and TEMPLATE_BASE_URL at it"
        )
    return ReplicatePredictions(
        token=token or SANDBOX_TOKEN,
        base_url=settings.replicate_base_url,
        model_version=settings.replicate_model_version,
        timeout=settings.replicate_timeout_ms / 1000,
        max_bytes=settings.audio_max_bytes,
        webhook=webhook,
        output_hosts=settings.output_hosts,
        trust=trust_of(settings),
        now=now,
    )


def account_secret(settings: Settings) -> AccountSecret:
    """What webhooks are signed with by the word of Replicate."""
    token = settings.replicate_api_token.get_secret_value()
    if not token and not settings.replicate_is_local:
        logger.warning(
            "No webhook will be taken: set REPLICATE_WEBHOOK_SECRET, or REPLICATE_API_TOKEN to "
            "have Replicate asked for it"
        )
    return AccountSecret(
        base_url=settings.replicate_base_url,
        token=token or SANDBOX_TOKEN,
        timeout=settings.replicate_timeout_ms / 1000,
        trust=trust_of(settings),
    )
