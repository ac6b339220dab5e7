"""Tasks and their audio."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.description.operation import NO_TASK, TASK_ERRORS, TASK_ID, Answer, Operation, header
from gateway.models import TaskFilter, TimeTravel
from tts import wire
from tts.domain.values import AudioFormat

AUDIO = tuple(audio_format.content_type for audio_format in AudioFormat)
AUDIO_HEADERS = {
    "ETag": "Names this content.",
    "Accept-Ranges": "`bytes`.",
    "Cache-Control": "A finished file never changes.",
}

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/api/tts/tasks"): Operation(
        id="listTasks",
        tag="Tasks",
        summary="List tasks",
        description=(
            "Newest first. The list follows the log within moments; `position` says how far it "
            "has come, `lag` how far that is behind, and a stream with `from=<position>` misses "
            "nothing after it. Filters narrow the list together. Of filters that no index serves "
            "together, and of a search in texts, a page looks at some thousand tasks and no more: "
            "it may be short or empty and still have a `nextCursor`. How long a task waits is "
            "said by `GET /api/tts/task/{taskId}` alone."
        ),
        query=TaskFilter,
        answers={200: Answer("One page", wire.TaskList)},
        errors=("invalid_request", "invalid_cursor", "forbidden", "read_model_behind"),
        path_example="/api/tts/tasks?status=failed&limit=10",
    ),
    ("GET", "/api/tts/task/{taskId}"): Operation(
        id="getTask",
        tag="Tasks",
        summary="Look at a task",
        description=(
            "With `asOf` the task as it was when the log stood at that position. What was erased "
            "since then stays gone: the text is null, and the audio's URL answers 404.\n\nWhile it "
            "waits for a processor, `queuePosition` is its place among all tasks that wait, by the "
            "fair turns of priorities and owners, and `estimatedWaitMs` about how long it will "
            "wait. Both are what was known some seconds ago at most, null if nothing was, and no "
            "promise: a task of another owner that comes later may have its turn before.\n\nA task "
            "that is over for long may be archived (`archivedAt`): it answers as it was at its end."
        ),
        parameters=(TASK_ID,),
        query=TimeTravel,
        answers={200: Answer("The task", wire.TaskAnswer)},
        errors=("invalid_request", *TASK_ERRORS),
    ),
    ("DELETE", "/api/tts/task/{taskId}"): Operation(
        id="eraseTask",
        tag="Tasks",
        summary="Erase what was said and spoken",
        description=(
            "Removes text, instruction and audio for good; statuses and times stay. Refused while "
            "the task runs: cancel it first. Asking again is fine. An erased task cannot be "
            "retried."
        ),
        parameters=(TASK_ID,),
        answers={200: Answer("Gone", wire.Erasure)},
        errors=(*NO_TASK, "task_not_over", "conflict"),
        curl="curl -s -X DELETE",
    ),
    ("GET", "/api/tts/task/{taskId}/events"): Operation(
        id="getTimeline",
        tag="Tasks",
        summary="The timeline of a task",
        description=(
            "Every event of the task as streams show it, with the seconds that its status "
            "`lasted`; with `asOf`, those up to that position. An archived task has none here."
        ),
        parameters=(TASK_ID,),
        query=TimeTravel,
        answers={200: Answer("The timeline", wire.Timeline)},
        errors=("invalid_request", *TASK_ERRORS),
    ),
    ("GET", "/audio/{key}"): Operation(
        id="getAudio",
        tag="Tasks",
        summary="Finished audio",
        description="Where `audioUrl` points to, unless a bucket keeps the audio.",
        parameters=(
            {
                "name": "key",
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
                "example": f"audio-{TASK_ID['example']}.wav",
            },
            header("Range", "A part of the file, such as `bytes=0-1023`.", "bytes=0-1023"),
            header("If-Range", "Send the part only if the file still has this ETag.", '"17-2a"'),
            header("If-None-Match", "Answer 304 if the file has this ETag.", '"17-2a"'),
        ),
        answers={
            200: Answer("The file", None, AUDIO, AUDIO_HEADERS),
            206: Answer(
                "A part of it", None, AUDIO, AUDIO_HEADERS | {"Content-Range": "Which part."}
            ),
            304: Answer("The client has it", None, (), AUDIO_HEADERS),
        },
        errors=("not_found", "range_not_satisfiable"),
        curl="curl -s -O",
    ),
}
