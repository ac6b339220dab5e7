"""Where commands end that cannot go on: in a sentence and an exit code, not in a traceback."""

from __future__ import annotations

from typing import IO, Any

import click

from tts.application.dead_letters import NotADeadLetter
from tts.application.tasks import TaskNotFound
from tts.cli.output import echo
from tts.config import ConfigError
from tts.observability.visible import visible
from tts.ports.errors import Unavailable, Unfit


class _InSentences(click.Command):
    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (ConfigError, Unavailable, Unfit, TaskNotFound, NotADeadLetter) as error:
            raise click.ClickException(visible(str(error))) from error


class Tool(_InSentences):
    """A command that does one thing and ends; each of these errors says what to do."""


class Tools(_InSentences, click.Group):
    """Several of them."""


class Process(click.Command):
    """A command that a supervisor runs: 2 is for a wrong setting, which no restart mends."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise _WrongSetting(f"tts: a setting is wrong\n{error}") from error
        except Unfit as error:
            raise _WrongSetting(f"tts: cannot start: {error}") from error
        except Unavailable as error:
            raise _Unavailable(f"tts: cannot start: {error}") from error


class _Unavailable(click.ClickException):
    def show(self, file: IO[Any] | None = None) -> None:
        echo(self.message, file=file, err=True)


class _WrongSetting(_Unavailable):
    exit_code = 2
