"""What the client raises."""

from __future__ import annotations

from http import HTTPStatus

NO_ANSWER = "no_answer"


class TTSError(Exception):
    """Something was refused or did not work; the message is for people, ``code`` for machines.

    ``code`` is the service's (``invalid_request``, ``task_not_found``, …), that of a task that
    ended without audio (or ``canceled``), or the client's own: ``no_answer``, ``bad_answer``,
    ``timeout``, ``cursor_reset``. ``status`` is the HTTP status if there was an answer,
    ``retry_after`` what it asked to wait, in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int | None = None,
        task_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.task_id = task_id
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether asking again later can help."""
        if self.status is None:
            return self.code == NO_ANSWER
        return self.status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS} or (
            self.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        )


class CursorReset(TTSError):
    """The stream of everything cannot go on where it was: too much has happened since.

    Read ``tasks()`` again, then go on with ``events(after=error.position)``.
    """

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"the stream cannot be resumed: {reason}", code="cursor_reset")
        self.position = position
