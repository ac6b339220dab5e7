"""The dashboard's list and figures in a real browser, with more tasks than a screen shows."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from playwright.async_api import expect

from tests.clients.board import hide, open_board, row
from tests.clients.past import fill
from tests.clients.service import SLOW, Service
from tests.waiting import SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="session")
TASKS, FAILED = 600, 50  # of the last day; one of so many failed


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that has run for a day."""
    folder = tmp_path_factory.mktemp("data")
    asyncio.run(fill(folder, TASKS, failed=FAILED))
    running = Service(folder)
    yield running
    running.stop()


async def test_a_day_in_figures_can_be_seen_and_read(page, service):
    """Sums and pictures of 24 hours, with a title for those who hear them, and a table."""
    await open_board(page, service)
    await expect(page.locator("#figures")).to_have_attribute("data-known", "yes")
    for figure, words in (
        ("accepted", str(TASKS)),
        ("succeededDay", "98%"),
        ("failedDay", str(TASKS // FAILED)),
        ("slowest", "2.9 秒"),
        ("throughput", "0 / 分钟"),
    ):
        await expect(page.locator(f'[data-figure="{figure}"] dd')).to_contain_text(words)
    picture = page.get_by_role("img", name=re.compile("接收, 24 小时"))
    await expect(picture.locator("rect")).to_have_count(24)
    await page.click("#figures summary")
    sums = await page.locator("#figure-table td:nth-of-type(1)").all_inner_texts()
    assert (len(sums), sum(map(int, sums))) == (24, TASKS)


async def test_all_rows_are_reached_and_few_are_there(page, service):
    """By keys and by scrolling; the focus is never lost, and a reader is told which row it is."""
    await open_board(page, service)
    await page.locator("#recent a").first.focus()
    table, focused = page.locator("#recent"), page.locator("#recent tr:focus-within")
    await expect(table).to_have_attribute("aria-rowcount", "-1")
    rows = page.locator("#recent tbody tr")
    total = str(TASKS + 1)
    async with asyncio.timeout(2 * SECONDS):
        while await table.get_attribute("aria-rowcount") != total:
            await page.keyboard.press("End")
            await asyncio.sleep(0.1)
    await page.keyboard.press("End")
    await expect(focused).to_have_attribute("aria-rowindex", total)
    assert await rows.count() < TASKS / 10
    await page.keyboard.press("ArrowUp")
    await expect(focused).to_have_attribute("aria-rowindex", str(TASKS))

    await page.locator("#rows").evaluate("(rows) => rows.scrollTo(0, 0)")
    await expect(page.locator("#rows")).to_be_focused()
    await page.keyboard.press("Home")
    await expect(focused).to_have_attribute("aria-rowindex", "2")
    await page.keyboard.press("PageDown")
    await page.keyboard.press("ArrowDown")
    address = await focused.locator("a").get_attribute("href")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{service.url}/{address}")


async def test_the_list_is_filtered_by_its_address(page, service):
    """The choice stands in the address and outlives a reload; new tasks that fit come in."""
    other = await asyncio.to_thread(service.speak, "你好")
    lost = await asyncio.to_thread(service.speak, "再见", "missing1")
    for task_id in (other, lost):
        await asyncio.to_thread(service.wait_over, task_id)
    await open_board(page, service)
    await expect(row(page, other)).to_be_visible()
    await page.select_option('#filters [name="status"]', "failed")
    await expect(row(page, other)).to_have_count(0)
    await page.fill('#filters [name="search"]', "再见")
    await expect(page).to_have_url(re.compile("search=.*status=failed"))
    await page.reload()
    await expect(page.locator("#recent tbody tr")).to_have_count(1)
    again = await asyncio.to_thread(service.speak, "再见了", "missing1")
    await expect(row(page, again)).to_be_visible()
    await page.fill('#filters [name="search"]', "没有这句话")
    await expect(page.locator("#no-tasks")).to_have_text("没有符合条件的任务。")
    await page.click("#clear-filters")
    await expect(row(page, other)).to_be_visible()
    await expect(page).to_have_url(f"{service.url}/")


async def test_rows_keep_their_places_under_a_pointer(page, service):
    """What comes meanwhile is counted on a button; the row under the pointer still changes."""
    first = await asyncio.to_thread(service.speak, SLOW)
    await open_board(page, service)
    for above in ("#counts", "#letters-card"):  # what comes in there moves the rows
        await expect(page.locator(above)).to_have_attribute("data-read", "yes")
    await row(page, first).hover()
    second = await asyncio.to_thread(service.speak, "你好")
    await expect(page.locator("#new-tasks")).to_have_text("1 个新任务")
    await expect(row(page, first)).to_have_attribute("data-status", "succeeded")
    await expect(row(page, second)).to_have_count(0)
    await page.mouse.move(0, 0)
    await expect(row(page, second)).to_be_visible()
    await expect(page.locator("#new-tasks")).to_be_hidden()

    await expect(row(page, second)).to_have_attribute("data-status", "succeeded")
    await page.locator("#recent a").first.focus()
    third = await asyncio.to_thread(service.speak, "你好")
    await expect(page.locator("#new-tasks")).to_be_visible()
    await page.keyboard.press("Shift+Tab")
    await expect(page.locator("#new-tasks")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(row(page, third).locator("a")).to_be_focused()


async def test_without_a_shared_worker_a_hidden_page_has_no_stream(page, service):
    """A browser opens few to one host; what was missed is there when the page is seen again."""
    await page.add_init_script("delete globalThis.SharedWorker")
    await open_board(page, service)
    await hide(page)
    await expect(page.locator("#connection")).to_have_attribute("data-state", "closed")
    task_id = await asyncio.to_thread(service.speak, "你好")
    await asyncio.to_thread(service.wait_over, task_id)
    await hide(page, hidden=False)
    await expect(row(page, task_id)).to_have_attribute("data-status", "succeeded")
    await expect(page.locator("#connection")).to_have_attribute("data-state", "open")
