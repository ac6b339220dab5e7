"""A page of another site in a real browser, whose own name leads to this machine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Page, async_playwright

from tests.clients.conftest import CHROMIUM, chromium
from tests.clients.service import TEXT, Service
from tests.waiting import until

EVIL = "evil.test"
# Its own guard against pages that reach into a network is off: other browsers have none.
REBOUND = [
    f"--host-resolver-rules=MAP {EVIL} 127.0.0.1",
    "--no-proxy-server",
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
]

ASK = """async ([method, path, body]) => {
  const headers = body ? {"content-type": "application/json", authorization: "Bearer x"} : {};
  const answer = await fetch(path, {method, body, headers});
  return [answer.status, await answer.text()];
}"""
SEND_BLINDLY = """async ([url, body]) => {
  await fetch(url, {method: "POST", mode: "no-cors", body});
}"""
OPEN = """(url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  socket.onopen = () => resolve("open");
  socket.onerror = () => resolve("refused");
})"""


@pytest.fixture
async def browser_page() -> AsyncIterator[Page]:
    """A page of a browser that finds us under the other site's name."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=[*CHROMIUM, *REBOUND]
        )
        yield await browser.new_page()
        await browser.close()


async def got(url: str) -> Any:
    """What an ordinary client gets."""
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(url)).json()


async def visit(page: Page, port: int) -> None:
    """Load the other site's page, as it was before its name led to us."""
    origin = f"http://{EVIL}:{port}"
    await page.route(
        f"{origin}/page", lambda route: route.fulfill(body="<p>", content_type="text/html")
    )
    await page.goto(f"{origin}/page")
    assert await page.evaluate("location.origin") == origin


async def test_sees_and_commands_nothing(browser_page: Page, service: Service):
    """Nothing is read, posted or opened, although the browser takes us for the page's own site."""
    task_id = service.speak()
    port = urlsplit(service.url).port
    await visit(browser_page, port)
    text = json.dumps({"templateId": "template1", "tts_text": TEXT})
    for method, path, body in (
        ("GET", "/api/tts/tasks", None),
        ("GET", f"/api/tts/task/{task_id}", None),
        ("GET", "/health", None),
        ("POST", "/api/tts", text),
        ("DELETE", f"/api/tts/task/{task_id}", None),
    ):
        status, answer = await browser_page.evaluate(ASK, [method, path, body])
        assert (status, task_id in answer) == (421, False), path
    for url in (f"ws://{EVIL}:{port}/ws", f"ws://127.0.0.1:{port}/ws", f"ws://localhost:{port}/ws"):
        assert await browser_page.evaluate(OPEN, url) == "refused", url
    await browser_page.evaluate(SEND_BLINDLY, [f"http://127.0.0.1:{port}/api/tts", text])

    async def listed() -> Any:
        return (await got(f"{service.url}/api/tts/tasks"))["data"]["tasks"]

    tasks = await until(listed, "what was posted before is listed")
    assert [task["taskId"] for task in tasks] == [task_id]


async def test_sees_and_commands_nothing_in_the_sandbox(browser_page: Page, service: Service):
    """The texts stay there, and what is to go wrong stays as it was."""
    service.wait_over(service.speak())
    sandbox = urlsplit(service.faults)
    await visit(browser_page, sandbox.port)
    for method, path, body in (
        ("GET", "/v1/predictions", None),
        ("GET", "/sandbox/stats", None),
        ("POST", "/sandbox/faults", "[]"),
    ):
        status, answer = await browser_page.evaluate(ASK, [method, path, body])
        assert (status, TEXT in answer) == (421, False), path
    before = await got(service.faults)
    assert before
    rule = json.dumps([{"route": "create", "fault": "reset"}])
    await browser_page.evaluate(SEND_BLINDLY, [service.faults, rule])
    assert await got(service.faults) == before
