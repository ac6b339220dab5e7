"""The page of one task in a real browser: what it was, how it went, and what can be done."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from gateway.access import keys
from gateway.access.roles import Role
from tests.clients.conftest import HERE
from tests.clients.service import ENDLESS, SLOW, TEXT, Service
from tests.histories import STATUSES_OF_SPEECH

pytestmark = pytest.mark.asyncio(loop_scope="session")
NOBODY = "00000000-0000-4000-8000-000000000000"
COMMANDS = ("#retry", "#cancel", "#erase")


def address(service: Service, task_id: str) -> str:
    return f"{service.url}/task.html?id={task_id}"


async def reach(page: Page, status: str) -> None:
    await expect(page.locator("#the-task")).to_have_attribute("data-status", status)


async def test_a_task_is_followed_to_its_audio(page, service):
    """Opened from the list, it turns by itself: stages, prediction, and a sound to see and keep."""
    await page.goto(service.url)
    task_id = await asyncio.to_thread(service.speak, SLOW)
    await page.locator(f'#recent tr[data-task-id="{task_id}"] a').click()
    await expect(page).to_have_url(address(service, task_id))
    await expect(page.locator("#text")).to_have_text(SLOW)
    await reach(page, "succeeded")

    stages = page.locator("#timeline li")
    await expect(stages).to_have_count(len(STATUSES_OF_SPEECH))
    statuses = await stages.evaluate_all("(stages) => stages.map(({ dataset }) => dataset.status)")
    assert statuses == STATUSES_OF_SPEECH
    await expect(page.locator("#predictions tbody tr")).to_have_attribute("data-result", "done")
    await expect(page.locator("#waveform")).to_be_visible()
    async with page.expect_download() as download:
        await page.click("#download")
    file = await (await download.value).path()
    assert (await asyncio.to_thread(file.read_bytes)).startswith(b"RIFF")


async def test_commands_are_asked_for_and_done_by_keyboard(page, service):
    """Escape does nothing; the focus is never lost; what was erased is gone from the page."""
    task_id = await asyncio.to_thread(service.speak, ENDLESS)
    await page.goto(address(service, task_id))
    await expect(page.locator("#cancel")).to_be_visible()
    await page.locator("#cancel").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#ask")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#ask")).to_be_hidden()
    await expect(page.locator("#cancel")).to_be_focused()

    await page.keyboard.press("Enter")
    await page.locator("#ask-go").press("Enter")
    await reach(page, "canceled")
    await expect(page.locator("#task-title")).to_be_focused()
    await page.click("#erase")
    await page.click("#ask-go")
    await expect(page.locator("#text")).not_to_have_text(ENDLESS)
    await expect(page.locator("#erase")).to_be_hidden()
    assert (await asyncio.to_thread(service.task, task_id))["ttsText"] is None


async def test_a_key_sees_what_it_may(page, start, tmp_path):
    """No task and no right are said; a dashboard's key commands nothing; signed out, it is gone."""
    file = tmp_path / "keys.json"
    wall = keys.add(file, owner="wall", role=Role.DASHBOARD, expires=None)[1]
    admin = keys.add(file, owner="boss", role=Role.ADMIN, expires=None)[1]
    service = start(TTS_API_KEYS_FILE=str(file))
    task_id = await asyncio.to_thread(service.speak, key=admin)
    await page.goto(address(service, task_id))
    for key, commands in (("tts_wrong", 0), (wall, 0), (admin, 1)):
        await page.fill("#key", key)
        await page.click("#key-form button")
        if key == "tts_wrong":
            await expect(page.locator("#key-problem")).to_be_visible()
            await expect(page.locator("#the-task")).to_be_hidden()
            continue
        await expect(page.locator("#text")).to_have_text(TEXT)
        await reach(page, "succeeded")
        await expect(page.locator("#sign-out")).to_be_visible()
        await expect(page.locator(":root")).to_have_attribute(
            "data-commands", "yes" if commands else "no"
        )
        await expect(page.locator("#commands button:visible")).to_have_count(commands)
        await page.click("#sign-out")
        await expect(page.locator("#key-form")).to_be_visible()
        await expect(page.locator("#the-task")).to_be_hidden()
    await page.fill("#key", wall)
    await page.click("#key-form button")
    await expect(page.locator("#text")).to_have_text(TEXT)
    await page.goto(address(service, NOBODY))
    await expect(page.locator("#no-task")).to_contain_text(NOBODY)
    await expect(page.locator("#the-task")).to_be_hidden()


async def test_the_docs_send_a_request(page, service):
    """In Swagger UI, in Chinese for a Chinese browser, asking nobody but the service."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{service.url}/docs")
    operation = page.locator(".opblock", has_text="合成一段文本")
    await operation.locator("button.opblock-summary-control").click()
    languages = operation.locator(".samples summary")
    await expect(languages).to_have_text(["Shell", "JavaScript", "Python"])
    await operation.locator(".try-out__btn").click()
    await operation.locator(".execute").click()
    answer = operation.locator(".live-responses-table .response-col_status").last
    await expect(answer).to_contain_text("200")  # its example waits for the audio
    await page.locator("#language").click()
    english = page.locator(".opblock", has_text="Have a text spoken")
    await expect(english).to_be_visible()
    stream = page.locator(".opblock", has_text="Follow tasks live")
    await stream.locator("button.opblock-summary-control").click()
    await expect(stream.locator(".samples")).to_be_visible()
    await expect(stream.locator(".try-out__btn")).to_have_count(0)  # it would have no end
    assert {url for url in asked if not url.startswith((service.url, "data:"))} == set()


async def test_anybody_can_read_the_pages(page, service, node):
    """Rules of accessibility hold in light and in dark, and no script has an error."""
    assert node
    axe = (HERE / "node_modules" / "axe-core" / "axe.min.js").read_text()
    problems: list[str] = []
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    spoken = await asyncio.to_thread(service.speak, TEXT)
    failed = await asyncio.to_thread(service.speak, TEXT, "missing1")
    for task_id in (spoken, failed):
        await asyncio.to_thread(service.wait_over, task_id)
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        for url, ready in (
            (service.url, ".letter"),
            (address(service, spoken), "#waveform"),
            (address(service, failed), "#advice"),
            (f"{service.url}/sse-client-example.html", '.task[data-status="succeeded"]'),
            (f"{service.url}/docs/reference?lang=zh", "#createSpeech"),
        ):
            await page.goto(url)
            if "example" in url:
                await page.click("#generate")
            await expect(page.locator(ready).first).to_be_visible()
            if "docs" not in url:
                await expect(page.locator("#connection")).to_have_attribute("data-state", "open")
            await page.evaluate(axe)
            violations = await page.evaluate("async () => (await axe.run()).violations")
            problems += [
                f"{scheme} {url}: {violation['id']}: {node['html']} {node['failureSummary']}"
                for violation in violations
                for node in violation["nodes"]
            ]
    assert problems == []
