"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from typing import Any, Literal, Self

import httpx
from httpx_sse import aconnect_sse

from tts.client import calls
from tts.client.following import BROKEN, Following, Pulse
from tts.client.results import Accepted, AudioPart, Parts, Task, Update


class AsyncClient:
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
        self._http = httpx.AsyncClient(
            base_url=base_url, headers=headers, timeout=timeout, **options
        )
        self._timeout = timeout
        self._pulse = Pulse(heartbeat)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def generate(
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
        answer = await self._call(call, timeout=self._timeout + seconds)
        if wait is True:
            return calls.accepted(await self.wait_for(answer["taskId"]))
        return Accepted.read(answer)

    async def retry(self, task_id: str) -> int:
        """Give a failed task another round; the position of that, to follow it ``after``."""
        return int((await self._call(calls.retry(task_id)))["position"])

    async def cancel(self, task_id: str) -> str:
        """Ask for the end of a task; its status: ``canceled``, or ``canceling`` while it runs."""
        return str((await self._call(calls.cancel(task_id)))["status"])

    async def task(self, task_id: str) -> Task:
        """One task, as the log has it."""
        return Task.read(await self._call(calls.task(task_id)))

    async def tasks(
        self,
        *,
        status: str | None = None,
        template_id: str | None = None,
        since: datetime | None = None,
    ) -> AsyncIterator[Task]:
        """Every task that fits, newest first, page by page."""
        cursor = None
        while True:
            page = await self._call(
                calls.tasks(status=status, template_id=template_id, since=since, cursor=cursor)
            )
            for task in page["tasks"]:
                yield Task.read(task)
            cursor = page["nextCursor"]
            if cursor is None:
                return

    def events(self, *task_ids: str, after: int | None = None) -> AsyncGenerator[Update]:
        """Every status of the tasks, each once, in order, until all of them have ended.

        Without tasks: of all of one's tasks, from now on, without end. ``after`` is a position to
        go on from. Lost connections and restarts of the gateway are not noticed, but for a pause.

        Raises:
            CursorReset: the stream of everything was away for too long.
        """
        return self._follow(task_ids, after, None)

    async def wait_for(
        self,
        task_id: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 -- its error is a TTSError, as all others
    ) -> Task:
        """The task once it has succeeded.

        Raises:
            TTSError: it failed (with its code), was ``canceled``, was erased (``task_erased``), or
                did not end in time (``timeout``).
        """
        async for _ in self._follow((task_id,), None, timeout):
            pass
        return calls.succeeded(await self.task(task_id))

    async def audio_parts(
        self,
        task_id: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 -- as above
    ) -> AsyncGenerator[AudioPart]:
        """The audio as it comes, in the order in which it is to be heard.

        Of a long text part after part while the rest is still being spoken; of a short one, or one
        that is spoken already, the whole. Each part is a file of its own.

        Raises:
            TTSError: as :meth:`wait_for`; what was handed out until then can be heard.
        """
        standing = await self.task(task_id)
        if standing.status == "succeeded":  # its parts are kept for a day only, the whole is not
            url = calls.succeeded(standing).audio_url
            if url is not None:
                yield AudioPart(url=url, segment=0, segments=1)
            return
        parts = Parts()
        async for update in self._follow((task_id,), None, timeout):
            for part in parts.take(update):
                yield part
        calls.succeeded(await self.task(task_id))

    async def _follow(
        self, task_ids: tuple[str, ...], after: int | None, seconds: float | None
    ) -> AsyncGenerator[Update]:
        tasks = [await self.task(task_id) for task_id in task_ids]
        following = Following(tasks, after, pulse=self._pulse, seconds=seconds)
        while not following.over:
            try:
                request = following.request()
                async with aconnect_sse(self._http, "GET", "/events", **request) as source:
                    if not source.response.is_success:
                        await source.response.aread()
                        calls.answer(source.response)
                    async for event in source.aiter_sse():
                        update = following.accept(event)
                        if update is not None:
                            yield update
                        if following.over:
                            return
                pause = following.pause()
            except BROKEN as error:
                pause = following.pause(error)
            await asyncio.sleep(pause)

    async def _call(self, call: calls.Call, **options: Any) -> Any:
        try:
            return calls.answer(await self._http.request(**call, **options))
        except httpx.TransportError as error:
            raise calls.no_answer(error) from error
