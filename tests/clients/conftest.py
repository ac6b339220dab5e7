"""What the clients need: the service, Node's packages, and a browser."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.clients.service import Service
from tests.services.process import ServiceError, program

PATIENCE_MS = 60_000  # a part tells of itself each two seconds, and the page reads each five
expect.set_options(timeout=PATIENCE_MS)

HERE = Path(__file__).parent
INSTALL = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(HERE)]
CHROMIUM = [
    "--no-sandbox",
    "--headless=new",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
]


def chromium() -> str:
    """Where the browser is."""
    return shutil.which("chromium") or program("chromium-browser", "chromium")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts a service with these settings, stopped at the end of the test."""
    started: list[Service] = []

    def start(**env: str) -> Service:
        started.append(Service(tmp_path / f"data-{len(started)}", **env))
        return started[-1]

    yield start
    for service in started:
        service.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all tests of a module that leave it running."""
    running = Service(tmp_path_factory.mktemp("data"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def node() -> str:
    """Node, with the packages of ``package.json`` beside this file."""
    node, npm = program("node", "nodejs"), program("npm", "npm")
    with (HERE / "package.json").open() as package:
        fcntl.flock(package, fcntl.LOCK_EX)  # of tests that run beside each other, one installs
        _install(npm)
    return node


def _install(npm: str) -> None:
    installed, wanted = HERE / "node_modules" / ".package-lock.json", HERE / "package.json"
    if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
        done = subprocess.run([npm, *INSTALL[1:]], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServiceError(f"mend it with: {' '.join(INSTALL)}\n{done.stderr}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests, which run on the session's loop as it does."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty page of a Chinese browser; errors of scripts and of the policy fail the test."""
    problems: list[str] = []
    # Nothing pulses: without a graphics card that would keep a core busy.
    context = await browser.new_context(locale="zh-CN", reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: "Security Policy" in message.text and problems.append(message.text),
    )
    yield page
    await context.close()
    assert not problems
