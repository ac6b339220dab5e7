"""What aio-pika, aiormq and pamqp raise, translated once: all of it but our own defects."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator

from aio_pika.exceptions import AMQPError, ChannelClosed, ConnectionClosed
from pamqp.exceptions import PAMQPException

from tts.patience import heeding
from tts.ports.errors import Unavailable

# aiormq raises RuntimeError for what is closed, and EOFError and StopAsyncIteration for an end that
# comes early.
KINDS = (AMQPError, PAMQPException, OSError, RuntimeError, EOFError, StopAsyncIteration)


@contextlib.asynccontextmanager
async def bounded(what: str, seconds: float, *, stranger: bool = False) -> AsyncIterator[None]:
    """Give the block so long, and translate the vendors' errors as :func:`translated` does.

    Raises:
        Unavailable: the block failed or took too long (then the cause is a TimeoutError).
    """
    with translated(what, stranger=stranger):
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            reason = str(error) or f"nothing for {seconds:g} s"
            raise Unavailable(f"RabbitMQ: cannot {what}: {reason}") from error


@contextlib.contextmanager
def translated(what: str, *, stranger: bool = False) -> Iterator[None]:
    """Translate the vendors' errors.

    With a ``stranger`` at the other end, of whom nothing is known yet, any error is one: what is no
    RabbitMQ may answer what it likes. Calls that were under way when the connection closed raise
    CancelledError, which must not look as if somebody had canceled us.

    Raises:
        Unavailable: the block failed.
    """
    try:
        with heeding():
            yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable(f"RabbitMQ: cannot {what}: the connection closed") from error
    except Unavailable:
        raise
    except Exception as error:
        if not (stranger or isinstance(error, KINDS) or type(error) is Exception):
            raise
        reason = words(error)
        public = f"RabbitMQ: {reason}" if _names_no_host(error) else ""
        raise Unavailable(f"RabbitMQ: cannot {what}: {reason}", public=public) from error


def words(error: BaseException) -> str:
    """What an error says: the broker's own words if there are any."""
    error = _origin(error)
    texts = [part for part in error.args if isinstance(part, str) and part]
    if isinstance(error, AMQPError) and texts:
        return texts[-1]
    return str(error) or type(error).__name__


def _origin(error: BaseException) -> BaseException:
    """The reason that aiormq has wrapped in another error."""
    while isinstance(error.__cause__, AMQPError):
        error = error.__cause__
    return error


def _names_no_host(error: BaseException) -> bool:
    """Whether it is a reason of the broker (with names of queues, users and vhosts) or of TLS."""
    error = _origin(error)
    if isinstance(error.__cause__, ssl.SSLError):
        return True
    closed = isinstance(error, ConnectionClosed | ChannelClosed)
    return closed and any(isinstance(part, str) for part in error.args)
