"""One segment of the task in this worker's hands."""

from __future__ import annotations

from uuid import UUID

from tts.domain.values import Segment
from tts.ports.speech import Prediction
from tts.processor.claimed_task import ClaimedTask


class ClaimedSegment:
    """Segment ``index`` of the claimed task; ``permit`` is the gate's name for its prediction."""

    def __init__(self, claimed: ClaimedTask, index: int) -> None:
        self.claimed = claimed
        self.index = index
        self.permit = permit(claimed.task.id, index)
        self._seen: Prediction | None = None

    @property
    def state(self) -> Segment:
        """The segment as the log has it."""
        return self.claimed.task.segments[self.index]

    def see(self, prediction: Prediction) -> None:
        """Keep what Replicate has said of the prediction for the step that acts upon it."""
        self._seen = prediction

    def take_seen(self) -> Prediction | None:
        """What Replicate has said and nobody has acted upon yet."""
        prediction, self._seen = self._seen, None
        return prediction


def permit(task_id: UUID, index: int) -> str:
    """The gate's name for a segment's prediction, the same for every worker."""
    return f"{task_id}:{index}"
