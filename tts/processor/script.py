"""What is to be said and in which voice, fetched once for a run."""

from __future__ import annotations

from tts.domain.failures import StepError
from tts.domain.naming import hash_payload
from tts.domain.task import Task
from tts.domain.values import Segment
from tts.ports.log import EventStore, Payload
from tts.ports.speech import Speech, Template
from tts.processor.resources import Resources
from tts.text.sending import model_text, model_text_before


def words(task: Task, segment: Segment, text: str, limit: int | None) -> str:
    """What of the task's text is sent for the segment; always the same, whatever is configured."""
    if task.cleanup is None:
        return model_text_before(text[segment.start : segment.end], limit)
    return model_text(text, segment.start, segment.end, cleanup=task.cleanup)


class Script:
    """The template and the payload of one task; ``said`` is the latter if it has been read."""

    def __init__(
        self, store: EventStore, resources: Resources, task: Task, said: Payload | None = None
    ) -> None:
        self._store = store
        self._said = said
        self._resources = resources
        self._task = task
        self._template: Template | None = None
        self._payload: Payload | None = None
        self._speeches: dict[int, Speech] = {}

    async def speech(self, segment: int) -> Speech:
        """What the segment's prediction is to speak.

        Raises:
            StepError: the template is not to be had, or the text was erased.
        """
        if (made := self._speeches.get(segment)) is not None:
            return made
        template = await self.template()
        payload = await self.payload()
        piece = self._task.segments[segment]
        speech = self._speeches[segment] = Speech(
            text=words(self._task, piece, payload.text, self._resources.segment_max_chars),
            transcript=template.transcript,
            audio_url=template.audio_url,
            instruction=payload.instruction,
        )
        return speech

    async def template(self) -> Template:
        """The reference voice."""
        if self._template is None:
            self._template = await self._resources.templates.fetch(self._task.template_id)
        return self._template

    async def payload(self) -> Payload:
        """What was said, verified against the fingerprint in the log."""
        if self._payload is None:
            payload = self._said or await self._store.payload(self._task.id)
            if payload is None:
                raise StepError("payload_erased", "request", "the text was erased")
            fingerprint = hash_payload(payload.text, payload.instruction, payload.salt)
            if fingerprint != self._task.text_hash:
                raise StepError(
                    "payload_altered",
                    "request",
                    "the stored text is not the one that was asked for",
                )
            self._payload = payload
        return self._payload
