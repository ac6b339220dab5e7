"""The dashboard in a real browser: what fails is seen at once, and put right from the page."""

import asyncio

import httpx
import pytest
from playwright.async_api import Locator, Page, expect

from gateway.access import keys
from gateway.access.roles import Role
from tests.clients.board import open_board, row
from tests.clients.service import Service
from tts.domain.values import FINAL, Status

pytestmark = pytest.mark.asyncio(loop_scope="session")
REFUSED = "这句话会失败。"
FAULT = {"route": "prediction", "fault": "failed", "args": {"error": "out of luck"}}


PAGES = 8  # to one host a browser opens six connections of HTTP/1.1


def break_speech(service: Service, *, broken: bool = True) -> None:
    """Have every text with the marked words fail, or no longer."""
    rules = [FAULT | {"match": REFUSED}] if broken else []
    httpx.put(service.faults, json=rules, trust_env=False).raise_for_status()


def letter(page: Page, task_id: str) -> Locator:
    return page.locator(f'.letter[data-task-id="{task_id}"]')


async def test_a_failure_appears_live_and_is_retried_from_the_page(page, start):
    """Nobody reloads anything: list, dead letters and counts follow by themselves."""
    service = start(RETRY_MAX_ATTEMPTS="1")
    await open_board(page, service)
    await expect(page.locator("#no-letters")).to_be_visible()
    await asyncio.to_thread(break_speech, service)
    task_id = await asyncio.to_thread(service.speak, REFUSED)

    await expect(row(page, task_id)).to_have_attribute("data-status", "failed")
    await expect(letter(page, task_id).locator(".badge")).to_have_text("prediction_failed")
    await expect(letter(page, task_id).locator(".said")).to_contain_text("out of luck")
    await expect(page.locator('#totals [data-group="failed"] dd')).to_have_text("1")
    await letter(page, task_id).locator(".open").click()
    await expect(letter(page, task_id).locator(".details")).to_contain_text(REFUSED)
    await expect(letter(page, task_id).locator(".advice")).to_contain_text("处理：")

    await asyncio.to_thread(break_speech, service, broken=False)
    await letter(page, task_id).locator(".retry").click()
    await expect(row(page, task_id)).to_have_attribute("data-status", "succeeded")
    await expect(letter(page, task_id)).to_have_count(0)
    await expect(page.locator("#no-letters")).to_be_visible()
    await expect(page.locator('#totals [data-group="succeeded"] dd')).to_have_text("1")


async def test_letters_of_one_code_are_dismissed_together(page, start):
    """The others stay, and the reason that was asked for is in the log."""
    service = start(RETRY_MAX_ATTEMPTS="1")
    await asyncio.to_thread(break_speech, service)
    missing = [await asyncio.to_thread(service.speak, "你好", f"missing{n}") for n in range(2)]
    other = await asyncio.to_thread(service.speak, REFUSED)
    await open_board(page, service)
    await expect(page.locator(".letter")).to_have_count(3)

    await page.locator("#codes button", has_text="template_not_found").click()
    await expect(page.locator(".letter")).to_have_count(2)
    await page.click("#dismiss-all")
    await page.fill("#reason", "no such voice")
    await page.click("#ask-go")
    await expect(page.locator(".letter")).to_have_count(1)
    await expect(letter(page, other)).to_be_visible()
    for task_id in missing:
        task = await asyncio.to_thread(service.task, task_id)
        assert (task["status"], "dismissedAt" in task) == ("failed", True)
        url = f"{service.url}/api/tts/task/{task_id}/events"
        story = (await asyncio.to_thread(httpx.get, url, trust_env=False)).json()["data"]
        assert story["events"][-1]["reason"] == "no such voice"


async def test_with_keys_one_of_many_pages_asks_for_one(page, start, tmp_path):
    """Eight pages share a key and a stream; a dashboard's key commands nothing; all sign out."""
    file = tmp_path / "keys.json"
    app = keys.add(file, owner="shop", role=Role.APP, expires=None)[1]
    wall = keys.add(file, owner="wall", role=Role.DASHBOARD, expires=None)[1]
    service = start(TTS_API_KEYS_FILE=str(file))
    task_id = await asyncio.to_thread(service.speak, "你好", "missing1", app)
    pages = [page, *[await page.context.new_page() for _ in range(PAGES - 1)]]
    for each in pages:
        await each.goto(service.url)
        await expect(each.locator("#key-form")).to_be_visible()
    await page.fill("#key", wall)
    await page.click("#key-form button")
    for each in pages:
        await expect(each.locator("#connection")).to_have_attribute("data-state", "open")
        await expect(each.locator("#key-form")).to_be_hidden()
        await expect(letter(each, task_id).locator("a")).to_be_visible()
    await asyncio.to_thread(service.wait_for_streams, 1, wall)
    await expect(page.locator(":root")).to_have_attribute("data-commands", "no")
    await expect(letter(page, task_id).locator(".retry")).to_be_hidden()

    new = await asyncio.to_thread(service.speak, "你好", key=app)
    for each in pages:
        await expect(row(each, new)).to_have_attribute("data-status", "succeeded")
    for each in pages[2:]:
        await each.close()
    await page.reload()
    await expect(row(page, new)).to_be_visible()
    await pages[1].click("#sign-out")
    for each in pages[:2]:
        await expect(each.locator("#key-form")).to_be_visible()
        await expect(row(each, new)).to_have_count(0)
    kept = await page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")
    assert "tts_" not in kept


async def test_every_status_has_its_words_and_its_place(page, start):
    """A status that is new in the service is missed here, and not by somebody at the page."""
    await open_board(page, start())
    words, groups, final = await page.evaluate(
        """async () => {
          const { WORDS, GROUPS, FINAL } = await import("/page/statuses.js");
          return [Object.values(WORDS).map(Object.keys), Object.values(GROUPS).flat(), [...FINAL]];
        }"""
    )
    for statuses in (*words, groups):
        assert sorted(statuses) == sorted(Status)
    assert set(final) == FINAL


@pytest.mark.parametrize("text", ["<img src=x onerror=\"document.title='broken'\">"])
async def test_what_comes_from_outside_is_never_markup(page, start, text):
    """Neither a text nor an error can run a script."""
    service = start()
    task_id = await asyncio.to_thread(service.speak, text, "missing1")
    await open_board(page, service)
    await letter(page, task_id).locator(".open").click()
    await expect(letter(page, task_id).locator(".details")).to_contain_text("<img")
    assert await page.locator("img").count() == 0
