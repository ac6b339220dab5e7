"""What a store knows of its log's epochs, and how it says that positions are gone."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tts.ports.epochs import Epochs, WentBack

logger = logging.getLogger(__name__)

ObserveLoss = Callable[[int], None]
"""Is told how many more positions are known to be gone."""


class Losses:
    """Watches over one log; every loss is said once, and again when it turns out greater."""

    def __init__(self, observe: ObserveLoss) -> None:
        self.epochs = Epochs()
        self._observe = observe
        self._lost: dict[int, int] = {}

    def check(self, seen: int) -> None:
        """Return if nothing up to the position ``seen`` is gone.

        Raises:
            WentBack
        """
        try:
            self.epochs.check(seen)
        except WentBack as error:
            self._say(error)
            raise

    def _say(self, error: WentBack) -> None:
        lost = error.seen - error.survived
        more = lost - self._lost.get(error.survived, 0)
        if more > 0:
            self._lost[error.survived] = lost
            self._observe(more)
            logger.warning(
                "The log has gone back: %d positions behind %d are gone. Tasks that were accepted "
                "there are lost, read models and streams start over",
                lost,
                error.survived,
                extra={"position": error.survived},
            )
