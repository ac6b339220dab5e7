"""What a gateway says when it is there: its addresses, and commands that work as they stand."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from tts.cli.output import echo
from tts.config import Settings

BODY = '{"templateId": "template1", "tts_text": "你好，欢迎使用语音合成服务。"}'


def greet(settings: Settings) -> None:
    """Print it."""
    url = settings.gateway_url
    header = ""
    key = ""
    if (path := settings.tts_api_keys_file) is not None:
        file = shlex.quote(str(path.absolute()))
        header = ' -H "Authorization: Bearer $TTS_KEY"'
        key = (
            f"\n  # A key of yours, or a new one:"
            f"\n  TTS_KEY=$({_program()} keys add --owner me --role app --file {file})"
        )
    echo(
        f"""
  Watch    {url}/
  Try it   {url}/sse-client-example.html
  Docs     {url}/docs
  API      {url}/api/tts
  Stream   {url}/events
  Health   {url}/health

From a terminal:
{key}
  curl -s '{url}/api/tts'{header} -H 'Content-Type: application/json' \\
       -d '{BODY}'
  curl -N '{url}/events?from=start'{header}
"""
    )


def _program() -> str:
    """How these commands are called."""
    script = Path(sys.executable).with_name("tts")
    if shutil.which("tts") == str(script):
        return "tts"
    if script.exists():
        return shlex.quote(str(script))
    return f"{shlex.quote(sys.executable)} -m tts"
