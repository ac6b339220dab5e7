"""Installs what was built into empty environments, and has each of them work on a task."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 60
CLIENT_NEEDS = {"anyio", "certifi", "h11", "httpcore", "httpx", "httpx-sse", "idna"}
CLIENT_MAX_BYTES = 1_000_000

PYTHON = """
import sys
from tts.client import Client
with Client(sys.argv[1], trust_env=False) as tts:
    accepted = tts.generate("template1", "你好，世界。")
    statuses = [update.status for update in tts.events(accepted.task_id)]
    assert statuses[-1] == "succeeded", statuses
    print(tts.task(accepted.task_id).audio_url)
"""
JAVASCRIPT = """
const client = new TTSEventClient({ baseUrl: process.argv.at(-1) });
client.connect().then(async () => {
  const order = { templateId: "template1", tts_text: "你好，世界。" };
  const { taskId } = await client.generateAudio(order);
  console.log((await client.waitFor(taskId, { timeout: 60000 })).audioUrl);
  client.close();
}).catch((error) => { console.error(error); process.exit(1); });
"""


class Environment:
    """A virtual environment with nothing in it but what is installed here."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "bin" / "python"
        run(sys.executable, "-m", "venv", "--without-pip", str(folder))

    def install(self, *what: Path) -> None:
        """Install with all that it needs."""
        self._pip("install", "--quiet", *map(str, what))

    def remove(self, name: str) -> None:
        """Uninstall it, and nothing else."""
        self._pip("uninstall", "--quiet", "--yes", name)

    def packages(self) -> set[str]:
        """What is there."""
        lines = self._pip("list", "--format=freeze").splitlines()
        return {line.partition("==")[0].lower().replace("_", "-") for line in lines}

    def _pip(self, *arguments: str) -> str:
        return run(sys.executable, "-m", "pip", "--python", str(self.python), *arguments)


def run(*command: str, cwd: Path | None = None) -> str:
    """What a command prints that has to end well."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)[:200]}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


@contextlib.contextmanager
def service(environment: Environment, folder: Path) -> Iterator[str]:
    """``tts up`` as it was installed, in an empty folder; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    env = {"PATH": os.environ["PATH"], "PORT": str(port), "SANDBOX_PORT": "0"}
    tts = environment.python.with_name("tts")
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([str(tts), "up"], cwd=folder, env=env, stdout=log, stderr=log) as process,
    ):
        try:
            _wait_for(f"{url}/health")
            yield url
        finally:
            process.terminate()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 -- our own
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def python_client(environment: Environment, url: str) -> None:
    """It needs no more than it says, and speaks."""
    beyond = environment.packages() - CLIENT_NEEDS - {"tts-backend-client", "typing-extensions"}
    if beyond:
        raise SystemExit(f"the client brings {', '.join(sorted(beyond))} along")
    run(str(environment.python), "-c", PYTHON, url)


def side_by_side(environment: Environment, wheel: Path, url: str) -> None:
    """The client beside the service speaks, and goes without taking anything of it along."""
    environment.install(wheel)
    run(str(environment.python), "-c", f"import tts.domain\n{PYTHON}", url)
    environment.remove("tts-backend-client")
    run(str(environment.python), "-c", "import tts.cli.processes")


def npm_bill(package: Path) -> str:
    """What the npm package brings along, once that is installed beside it."""
    run("npm", "install", "--no-audit", "--no-fund", cwd=package)
    bill = json.loads(run("npm", "sbom", "--sbom-format", "cyclonedx", cwd=package))
    bill["metadata"]["component"]["name"] = json.loads((package / "package.json").read_text())[
        "name"
    ]
    for component in bill["components"]:
        component.pop("externalReferences", None)  # where this machine got it
    return json.dumps(bill, indent=2)


def npm_package(tarball: Path, folder: Path, url: str) -> None:
    """Its tests pass, and it speaks as a module and as a script, from the package alone."""
    run("npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), str(tarball))
    name = "tts-backend-client"
    kinds = {
        "use.mjs": f'import {{ TTSEventClient }} from "{name}";',
        "use.cjs": f'const {{ TTSEventClient }} = require("{name}");',
    }
    for file, line in kinds.items():
        (folder / file).write_text(line + JAVASCRIPT)
        run("node", str(folder / file), url)
    run("npm", "test", cwd=folder / "node_modules" / name)
