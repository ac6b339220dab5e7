"""Several processes on one port: started, replaced when they die, and restarted one by one.

Each has a socket of its own on the port (SO_REUSEPORT), among which the kernel shares out the
connections. In a restart the next process has the socket of the one before, and both accept until
that one has drained: nothing is refused. The socket of a process that died is closed at once, and
its connections go to the others; the process in its place listens when it is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tts.cli.watchdog import watchdog
from tts.cli.worker import Worker

logger = logging.getLogger(__name__)

STEADY_SECONDS = 10.0  # a process that has run for that long did not fail at its start
START_SECONDS = 90.0  # it may wait a minute for the database
PAUSE_SECONDS = 1.0  # before another one takes the place of one that failed at its start
FAILURES = 5  # in a row, of one worker at its start: then somebody has to look
GRACE_SECONDS = 5.0  # for the end, beyond SHUTDOWN_SECONDS
WRONG_SETTING = 2  # an exit code that no other attempt mends


class CannotStart(Exception):
    """A worker fails at its start, again and again."""


@dataclass(eq=False)
class Job:
    """The words of a command; ``bind`` makes the socket that its process serves, if it does."""

    words: Sequence[str]
    bind: Callable[[], socket.socket] | None = None
    listener: socket.socket | None = None
    process: Process | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # of who starts processes for it


class Supervisor:
    """Runs one process for each job; ``shutdown_seconds`` is what each has for its end.

    ``greet`` is called once, when all are at work.
    """

    def __init__(
        self, jobs: Sequence[Job], shutdown_seconds: float, greet: Callable[[], None]
    ) -> None:
        self._jobs = jobs
        self._patience = shutdown_seconds + GRACE_SECONDS
        self._greet = greet

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; SIGHUP restarts the processes one by one.

        Raises:
            CannotStart, Unavailable
        """
        stop, restart = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, restart.set)
        # The end that nobody writes to: processes see it close when we are gone.
        self._lifeline, kept = os.pipe()
        async with contextlib.AsyncExitStack() as stack:
            self._folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tts-"))
            stack.enter_context(os.fdopen(kept, "wb"))
            await stack.enter_async_context(watchdog())
            tasks = [asyncio.create_task(self._keep(job)) for job in self._jobs]
            tasks.append(asyncio.create_task(stop.wait()))  # type: ignore[arg-type]
            aside = [
                asyncio.create_task(self._say_when_begun()),
                asyncio.create_task(self._restart(restart)),
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (*tasks, *aside):
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.gather(*aside, return_exceptions=True)
                # Who takes orders in stops before who works them off.
                for jobs in (self._serving, self._jobs):
                    ends = [_end(job.process, self._patience) for job in jobs]
                    await asyncio.gather(*ends)
        for result in results:
            if isinstance(result, Exception):
                raise result

    @property
    def _serving(self) -> Sequence[Job]:
        return [job for job in self._jobs if job.bind is not None]

    async def _say_when_begun(self) -> None:
        for job in self._jobs:
            await job.begun.wait()
        self._greet()

    async def _keep(self, job: Job) -> None:
        """Have a process for the job, until canceled.

        Raises:
            CannotStart
        """
        failures, now = 0, asyncio.get_running_loop().time
        while True:
            async with job.turn:
                if job.process is None or job.process.returncode is not None:
                    began = now()
                    await self._start(job)
            process = job.process
            code = await process.wait() if process else 0
            if job.process is not process:
                continue  # it was meant to end
            if job.listener is not None:
                job.listener.close()
                job.listener = None
            failures = failures + 1 if now() - began < STEADY_SECONDS else 1
            logger.warning("%s ended with exit code %d; it is replaced", self._name(job), code)
            if failures >= FAILURES or code == WRONG_SETTING:
                raise CannotStart(f"{self._name(job)} fails at its start with exit code {code}")
            await asyncio.sleep(PAUSE_SECONDS if failures > 1 else 0)

    async def _restart(self, asked: asyncio.Event) -> None:
        while True:
            await asked.wait()
            asked.clear()
            logger.info("Restarting one by one")
            for job in self._jobs:
                async with job.turn:
                    await self._replace(job)
            logger.info("Restarted")

    async def _replace(self, job: Job) -> None:
        """Another process for the job; where both can be there, the one before ends after that."""
        before, job.process = job.process, None
        if job.bind is None:
            await _end(before, self._patience)
        process = await self._start(job)
        if job.bind is not None and process.returncode is not None:
            logger.error("%s stays as it is: a new one cannot start", self._name(job))
            job.process = before
        else:
            await _end(before, self._patience)

    async def _start(self, job: Job) -> Process:
        """Put a process into its place; it has begun its work then, or has ended."""
        begun, told = os.pipe()
        if job.listener is None and job.bind is not None:
            job.listener = job.bind()
        listener = None if job.listener is None else job.listener.fileno()
        worker = Worker(self._jobs.index(job), listener, self._lifeline, told, self._folder)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tts", *job.words),
                env={**os.environ, **worker.environment()},
                pass_fds=worker.descriptors,
                start_new_session=True,  # Ctrl-C is for us, who pass it on
            )
            job.process = process
        finally:
            os.close(told)
        try:
            if await _byte(begun):
                job.begun.set()
            elif process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        finally:
            os.close(begun)
        return process

    def _name(self, job: Job) -> str:
        return f"Worker {self._jobs.index(job)} (tts {job.words[0]})"


async def _end(process: Process | None, patience: float) -> None:
    """Ask the process to end, and wait for that."""
    if process is None or process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(patience):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _byte(descriptor: int) -> bool:
    """Whether a byte comes before the end, in good time."""
    readable, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(descriptor, readable.set)
    try:
        async with asyncio.timeout(START_SECONDS):
            await readable.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
    return bool(os.read(descriptor, 1))
