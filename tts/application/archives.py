"""What the log keeps of a task whose events go into an archive: its answer, without any words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

import orjson

from tts.domain.task import Task
from tts.ports.log import ArchivedTask
from tts.wire import TaskAnswer, task_answer


@dataclass(frozen=True, slots=True)
class Facts:
    """``answer`` is the task's, without what was said and where that is heard.

    ``audio`` are the keys under which some may lie, ``object_key`` the one of the whole.
    """

    answer: TaskAnswer
    object_key: str | None
    audio: list[str]
    idempotency_key: str | None
    asked_format: str | None
    callback_url: str | None

    @classmethod
    def of(cls, task: Task, position: int, at: datetime) -> Self:
        """Those of a task that is over; ``at`` is when its events leave the log."""
        answer = task_answer(task, position, None, str)
        answer["audioUrl"] = None
        answer.pop("partialAudioUrls", None)
        answer["archivedAt"] = at.isoformat()
        return cls(
            answer,
            task.object_key,
            audio_keys(task),
            task.idempotency_key,
            task.asked_format,
            task.callback_url,
        )

    @classmethod
    def read(cls, archived: ArchivedTask) -> Self:
        """Those that were kept."""
        return cls(**orjson.loads(archived.facts))

    @property
    def template_id(self) -> str:
        """Its template."""
        return self.answer["templateId"]

    @property
    def audio_format(self) -> str:
        """What its audio is."""
        return self.answer["format"]

    @property
    def is_erased(self) -> bool:
        """Whether what was said and spoken is gone."""
        return "erasedAt" in self.answer

    def erased(self, at: str) -> Self:
        """The same, after what was said and spoken is gone."""
        return replace(self, answer={**self.answer, "erasedAt": at}, object_key=None)

    @property
    def text(self) -> str:
        """As they are kept."""
        return orjson.dumps(self).decode()

    def view(self, words: tuple[str, str] | None, audio_url: Callable[[str], str]) -> TaskAnswer:
        """The answer, with what was said (unless that is erased) and where it is heard."""
        said, instruction = words or (None, None)
        return {
            **self.answer,
            "ttsText": said,
            "instruction": instruction or None,
            "audioUrl": audio_url(self.object_key) if self.object_key else None,
        }


def audio_keys(task: Task) -> list[str]:
    """Under which keys audio of the task may lie, whether or not it has succeeded.

    Its worker may have died in between.
    """
    parts = range(len(task.segments)) if len(task.segments) > 1 else ()
    whole = {task.audio_key, task.object_key or task.audio_key}
    return [*sorted(whole), *map(task.part_key, parts)]
