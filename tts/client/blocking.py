"""The client for threads and scripts; the twin of ``asynchronous``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal, Self

import httpx
from httpx_sse import connect_sse

from tts.client import calls
from tts.client.following import BROKEN, Following, Pulse
from tts.client.results import Accepted, AudioPart, Parts, Task, Update


class Client:
    """The service at ``base_url``; ``timeout`` of one answer and ``heartbeat`` are in seconds.

    ``heartbeat`` is how often the server is expected to send one until it has said so; further
    options go to httpx. Every call raises :class:`tts.client.TTSError` alone.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:3002",
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        heartbeat: float = 15.0,
        **options: Any,
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=timeout, **options)
        self._timeout = timeout
        self._pulse = Pulse(heartbeat)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def generate(
        self,
        template_id: str,
        text: str,
        *,
        instruction: str | None = None,
        wait: bool | float = False,
        idempotency_key: str | None = None,
        priority: Literal["high", "normal", "low"] | None = None,
        callback_url: str | None = None,
        format: Literal["wav", "mp3", "opus"] | None = None,  # noqa: A002 -- the wire's name
    ) -> Accepted:
        """Have ``text`` spoken.

        ``wait=True`` returns when the audio is there; a number of seconds asks the service to hold
        its answer back so long, at most. ``priority`` says which of the tasks that wait come first.
        ``callback_url`` is told when the task is over. ``format`` is what the audio is to be; the
        service has a default.
        """
        seconds = 0.0 if wait is True else float(wait)
        call = calls.generate(
            template_id,
            text,
            instruction=instruction,
            wait=seconds,
            idempotency_key=idempotency_key,
            priority=priority,
            callback_url=callback_url,
            format=format,
        )
        answer = self._call(call, timeout=self._timeout + seconds)
        if wait is True:
            return calls.accepted(self.wait_for(answer["taskId"]))
        return Accepted.read(answer)

    def retry(self, task_id: str) -> int:
        """Give a failed task another round; the position of that, to follow it ``after``."""
        return int((self._call(calls.retry(task_id)))["position"])

    def cancel(self, task_id: str) -> str:
        """Ask for the end of a task; its status: ``canceled``, or ``canceling`` while it runs."""
        return str((self._call(calls.cancel(task_id)))["status"])

    def task(self, task_id: str) -> Task:
        """One task, as the log has it."""
        return Task.read(self._call(calls.task(task_id)))

    def tasks(
        self,
        *,
        status: str | None = None,
        template_id: str | None = None,
        since: datetime | None = None,
    ) -> Iterator[Task]:
        """Every task that fits, newest first, page by page."""
        cursor = None
        while True:
            page = self._call(
                calls.tasks(status=status, template_id=template_id, since=since, cursor=cursor)
            )
            for task in page["tasks"]:
                yield Task.read(task)
            cursor = page["nextCursor"]
            if cursor is None:
                return

    def events(self, *task_ids: str, after: int | None = None) -> Iterator[Update]:
        """Every status of the tasks, each once, in order, until all of them have ended.

        Without tasks: of all of one's tasks, from now on, without end. ``after`` is a position to
        go on from. Lost connections and restarts of the gateway are not noticed, but for a pause.

        Raises:
            CursorReset: the stream of everything was away for too long.
        """
        return self._follow(task_ids, after, None)

    def wait_for(self, task_id: str, *, timeout: float | None = None) -> Task:
        """The task once it has succeeded.

        Raises:
            TTSError: it failed (with its code), was ``canceled``, was erased (``task_erased``), or
                did not end in time (``timeout``).
        """
        for _ in self._follow((task_id,), None, timeout):
            pass
        return calls.succeeded(self.task(task_id))

    def audio_parts(self, task_id: str, *, timeout: float | None = None) -> Iterator[AudioPart]:
        """The audio as it comes, in the order in which it is to be heard.

        Of a long text part after part while the rest is still being spoken; of a short one, or one
        that is spoken already, the whole. Each part is a file of its own.

        Raises:
            TTSError: as :meth:`wait_for`; what was handed out until then can be heard.
        """
        standing = self.task(task_id)
        if standing.status == "succeeded":  # its parts are kept for a day only, the whole is not
            url = calls.succeeded(standing).audio_url
            if url is not None:
                yield AudioPart(url=url, segment=0, segments=1)
            return
        parts = Parts()
        for update in self._follow((task_id,), None, timeout):
            for part in parts.take(update):  # noqa: UP028 -- the twin has no `yield from`
                yield part
        calls.succeeded(self.task(task_id))

    def _follow(
        self, task_ids: tuple[str, ...], after: int | None, seconds: float | None
    ) -> Iterator[Update]:
        tasks = [self.task(task_id) for task_id in task_ids]
        following = Following(tasks, after, pulse=self._pulse, seconds=seconds)
        while not following.over:
            try:
                request = following.request()
                with connect_sse(self._http, "GET", "/events", **request) as source:
                    if not source.response.is_success:
                        source.response.read()
                        calls.answer(source.response)
                    for event in source.iter_sse():
                        update = following.accept(event)
                        if update is not None:
                            yield update
                        if following.over:
                            return
                pause = following.pause()
            except BROKEN as error:
                pause = following.pause(error)
            time.sleep(pause)

    def _call(self, call: calls.Call, **options: Any) -> Any:
        try:
            return calls.answer(self._http.request(**call, **options))
        except httpx.TransportError as error:
            raise calls.no_answer(error) from error
