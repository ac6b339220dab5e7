"""Streams end with the credential that opened them, however quiet the gateway is."""

from __future__ import annotations

import asyncio
import logging

from gateway import security
from gateway.access.admission import Admission
from gateway.access.keyring import LOOK_SECONDS
from gateway.streams.hub import Hub

logger = logging.getLogger(__name__)


async def watch(admission: Admission, hub: Hub) -> None:
    """Look for other keys and for credentials whose time is up, all the time."""
    version = 0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            security.sum_up()
            if admission.keys is None:
                continue
            admission.keys.look()
            newest = admission.keys.version
            await hub.end_refused(everybody=newest != version)
            version = newest
        except Exception:
            # It must not end: from then on revoked keys would go on reading.
            logger.exception("Looking for credentials that have ended failed; it is tried again")
