"""The command line says what there is without importing it, and starts what it is told to."""

import subprocess
import sys

import click
import pytest

from tts.cli.commands import COMMANDS, main

# What takes long or much memory to load, and many processes never need.
HEAVY = {"aio_pika", "aiohttp", "minio", "numpy", "opentelemetry", "psycopg", "replicate"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_a_command_says_of_itself(name):
    """It is written down twice, so that the list need not import the command."""
    command = main.get_command(click.Context(main), name)
    assert command.name == name
    assert (command.help or "").replace("\n", " ").startswith(COMMANDS[name].does)


def test_a_process_loads_no_more_than_it_starts_with():
    """With SQLite, the folder and the queue in the process: no driver, and nothing for a task.

    Nor does one without a gateway load the server that serves it.
    """
    code = (
        "import sys, tts.cli.commands\n"
        "assert 'tts.config' not in sys.modules\n"
        "import tts.cli.processes\n"
        "assert 'sanic' not in sys.modules\n"
        "import tts.cli.gateway, tts.sandbox\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert HEAVY.isdisjoint(result.stdout.split())
