"""``python -m tts`` is the command line."""

from tts.cli.commands import main

main()
