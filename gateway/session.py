"""The conversation over one WebSocket: each message in turn is carried out and answered."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import orjson
from websockets.frames import CloseCode

from gateway import errors
from gateway.access.roles import STRANGER, Access, Need
from gateway.commands import Commands, started
from gateway.errors import InvalidRequest, Unauthorized
from gateway.history import TASKS_MAX, History, Tasks, tasks_of
from gateway.models import CancelRequest, RetryRequest, parse_body
from gateway.services import Services
from gateway.streams import ws_messages
from gateway.streams.socket import Socket
from gateway.ws_models import Authenticate, Key, Message, Subscribe, Unsubscribe
from tts.domain.errors import NewerEvent
from tts.ports.errors import Unavailable
from tts.wire import AckData, Authenticated, RequestId, Subscribed, Unsubscribed

logger = logging.getLogger(__name__)

STRANGER_SECONDS = 5.0  # how long a connection may take to say who it is


class Session:
    """The other end of one ``socket``, whose client may do what its credential grants."""

    def __init__(self, services: Services, commands: Commands, socket: Socket) -> None:
        self._services = services
        self._commands = commands
        self._hub = services.hub
        self._history = History(services)
        self._socket = socket

    @property
    def _access(self) -> Access:
        return self._socket.access

    async def run(self, handshake: bytes) -> None:
        """Greet the client and serve it until the connection is over."""
        try:
            messages = self._socket.messages()
            await self._socket.write(handshake)
            if self._access is not STRANGER:
                await self._greet()
            elif not await self._meet(messages):
                return
            async for message in messages:
                await self._answer(message)
        except ConnectionError:
            # The client went, as clients do, or was cut and counted.
            self._socket.abort()
        except Unavailable as error:
            logger.warning("A WebSocket ends in its history: %s", error)
        except Exception:
            logger.exception("A WebSocket broke off")
            self._socket.close(CloseCode.INTERNAL_ERROR, "internal error")

    async def _greet(self) -> None:
        interval = self._services.settings.sse_heartbeat_interval_ms
        hello = ws_messages.connected(secrets.token_hex(8), self._hub.position, interval)
        await self._socket.write(hello)
        await self._socket.go_live()

    async def _meet(self, messages: AsyncIterator[bytes]) -> bool:
        """Hear who a stranger is; whether the conversation goes on."""
        try:
            async with asyncio.timeout(STRANGER_SECONDS):
                raw = await anext(messages)
        except StopAsyncIteration:
            return False
        except TimeoutError:
            self._socket.expel(f"authenticate within {STRANGER_SECONDS:.0f} s")
            return False
        request_id = _id_of(raw)
        try:
            answer = self._introduced(raw)
        except Exception as error:  # noqa: BLE001 -- as any message's
            self._refuse(request_id, error)
            self._socket.expel("not authenticated")
            return False
        await self._greet()
        self._ack(request_id, answer)
        return True

    def _introduced(self, raw: bytes) -> Authenticated:
        if parse_body(Message, raw).type != "authenticate":
            raise Unauthorized('say first: {"type": "authenticate", "key": "tts_…"}')
        return self._authenticated(raw)

    async def _answer(self, raw: bytes) -> None:
        request_id = _id_of(raw)
        if reason := self._socket.refusal():
            self._socket.expel(reason)
            return
        try:
            self._socket.spend()
            kind = parse_body(Message, raw).type
            await self._handler(kind)(self, request_id, raw)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 -- every error has its answer in the table
            self._refuse(request_id, error)

    def _refuse(self, request_id: RequestId, error: Exception) -> None:
        _, body = errors.refusal(error, "a message over /ws")
        self._socket.report(error)
        # What is said to a stranger is not kept back until he is greeted.
        self._socket.say(ws_messages.error(request_id, body))

    def _handler(self, kind: str) -> Handler:
        if kind not in KINDS:
            raise InvalidRequest(f"type: must be one of {', '.join(KINDS)}, not {kind[:40]!r}")
        need, handler = KINDS[kind]
        self._access.check(need)
        return handler

    async def authenticate(self, request_id: RequestId, raw: bytes) -> None:
        """Go on with another credential, such as a token that follows one that ends."""
        self._ack(request_id, self._authenticated(raw))

    def _authenticated(self, raw: bytes) -> Authenticated:
        shown = parse_body(Authenticate, raw)
        if (shown.key is None) == (shown.token is None):
            raise InvalidRequest("authenticate needs either key or token")
        text, is_token = (shown.key, False) if shown.key is not None else (shown.token, True)
        self._socket.authenticate(text or "", is_token=is_token)
        ends = self._access.ends
        return {"expiresAt": ends.isoformat() if ends is not None else None}

    async def subscribe(self, request_id: RequestId, raw: bytes) -> None:
        """Send what is past, then what happens."""
        subscription = parse_body(Subscribe, raw)
        tasks = None if subscription.task_ids is None else tasks_of(subscription.task_ids)
        together = _union(self._socket.tasks, tasks)
        archived = await self._history.archived(tasks, self._access.scope)
        last, begin = _text(subscription.last_event_id), _text(subscription.begin)
        start = await self._history.start(tasks, self._access.scope, last, begin, archived)
        # What is due up to this position is sent before the history; the hub sends what comes after
        # it, and nothing else does. That waits for the end of history, whatever it belongs to.
        socket, until = self._socket, self._hub.position
        self._hub.sockets.change(socket, together)
        socket.hold()
        answer: Subscribed = {"taskIds": subscription.task_ids, "position": start.cursor}
        head = ws_messages.ack(request_id, answer)
        if start.reason:
            head += ws_messages.reset(request_id, start.reason, start.requested, start.cursor)
        try:
            await socket.write(head)
            async for batch in self._history.events(tasks, socket.scope, start, until):
                await socket.write(b"".join(map(self._hub.message, batch)))
            await socket.go_live()
        except NewerEvent as error:
            self._hub.end_before(error.topic, socket)
        except Exception:
            # History broke off behind its ack, so the connection ends; the client resumes.
            socket.close(CloseCode.TRY_AGAIN_LATER, "the history cannot be read")
            raise

    async def unsubscribe(self, request_id: RequestId, raw: bytes) -> None:
        """Send no more about the tasks, or at all."""
        subscription = parse_body(Unsubscribe, raw)
        rest: frozenset[UUID] = frozenset()
        if subscription.task_ids is not None:
            if self._socket.tasks is None:
                raise InvalidRequest("taskIds: everything is subscribed; unsubscribe from that")
            rest = self._socket.tasks - tasks_of(subscription.task_ids)
        self._hub.sockets.change(self._socket, rest)
        answer: Unsubscribed = {"taskIds": subscription.task_ids}
        self._ack(request_id, answer)

    async def generate(self, request_id: RequestId, raw: bytes) -> None:
        """Accept a text."""
        order = parse_body(self._commands.speech_request, raw)
        key = parse_body(Key, raw).idempotency_key
        receipt, position = await self._commands.generate(order, self._access, idempotency_key=key)
        self._ack(request_id, started(receipt, position))

    async def retry(self, request_id: RequestId, raw: bytes) -> None:
        """Give a failed task another round of attempts."""
        order = parse_body(RetryRequest, raw)
        self._ack(request_id, await self._commands.retry(order, self._access))

    async def cancel(self, request_id: RequestId, raw: bytes) -> None:
        """Ask for the end of a task."""
        order = parse_body(CancelRequest, raw)
        self._ack(request_id, await self._commands.cancel(order, self._access))

    async def ping(self, request_id: RequestId, _raw: bytes) -> None:
        """Show that somebody is here."""
        self._socket.send(ws_messages.pong(request_id))

    def _ack(self, request_id: RequestId, data: AckData) -> None:
        self._socket.send(ws_messages.ack(request_id, data))


Handler = Callable[[Session, RequestId, bytes], Awaitable[None]]
KINDS: dict[str, tuple[Need, Handler]] = {
    "authenticate": (Need.SOCKET, Session.authenticate),
    "subscribe": (Need.STREAM, Session.subscribe),
    "unsubscribe": (Need.STREAM, Session.unsubscribe),
    "generate": (Need.COMMAND, Session.generate),
    "retry": (Need.COMMAND, Session.retry),
    "cancel": (Need.COMMAND, Session.cancel),
    "ping": (Need.STREAM, Session.ping),
}


def _id_of(raw: bytes) -> RequestId:
    """The id of a message that may be wrong in every respect."""
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    request_id = message.get("id") if isinstance(message, dict) else None
    return request_id if isinstance(request_id, str | int) else None


def _union(had: Tasks, tasks: Tasks) -> Tasks:
    if had is None or tasks is None:
        return None
    if len(had | tasks) > TASKS_MAX:
        raise InvalidRequest(f"taskIds: at most {TASKS_MAX} tasks over one connection")
    return had | tasks


def _text(cursor: str | int | None) -> str | None:
    return None if cursor is None else str(cursor)
