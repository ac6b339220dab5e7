"""What the README tells people to type works."""

import json
import re
import subprocess
from pathlib import Path

from tests.services.ports import free_port
from tests.services.tts import Tts
from tests.waiting import wait_until

README = (Path(__file__).parents[2] / "README.md").read_text()


def commands(start: str) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    return [block for block in blocks if block.startswith(start)]


def shell(command: str) -> str:
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout


def test_the_request_and_the_stream_of_the_readme(tmp_path):
    """Both curl commands, as they stand there but for the port and the task's id."""
    port, sandbox_port = free_port(), free_port()
    tts = Tts(
        "up",
        "--port",
        str(port),
        "--data",
        str(tmp_path),
        env={"SANDBOX_PORT": str(sandbox_port)},
    )
    try:
        tts.wait_for(f"http://127.0.0.1:{port}/health")
        (post,) = commands("curl -s http://127.0.0.1:3002/api/tts ")
        (stream,) = commands("curl -N ")
        answer = json.loads(shell(post.replace("3002", str(port))))
        assert answer["data"]["status"] == "started"
        command = stream.replace("3002", str(port)).replace("5c0e…", answer["data"]["taskId"])
        limited = command.replace("curl -N", "curl -sN --max-time 3")
        wait_until(lambda: '"status":"succeeded"' in shell(limited), "the stream tells the end")
    finally:
        tts.stop()
