"""``python -m tts`` is the command line."""

from tts.cli import main

main()
