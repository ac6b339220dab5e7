"""The pictures in README.md: ``make screenshots``.

The machine needs a font with Chinese characters, or the page's other language is written in boxes.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import Page, async_playwright, expect

from tests.clients.conftest import CHROMIUM, chromium
from tests.clients.past import fill
from tests.clients.service import ENDLESS, Service

FOLDER = Path(__file__).parents[2] / "ops" / "screenshots"
LARGEST = 150_000  # bytes: who reads the README fetches them
TASKS, FAILED = 900, 900  # of the last day; one of so many failed
STORY = (
    "The teahouse is always the first place in the lane to wake up. Long before the sun is over "
    "the roofs, the owner has lit the stove, and the copper kettle hums to itself."
)

# Which machine took them is nobody's concern.
NAMELESS = r"""for (const part of document.querySelectorAll("#parts span")) {
  part.textContent = part.textContent.replace(/^\S+-\d+/, "tts-1");
}"""


async def main() -> None:
    """Take them all."""
    expect.set_options(timeout=60_000)
    with TemporaryDirectory() as folder:
        await fill(Path(folder), TASKS, failed=FAILED)
        service = await asyncio.to_thread(Service, Path(folder), REPLICATE_PRICE_PER_SECOND="0.001")
        try:
            await _take(service)
        finally:
            await asyncio.to_thread(service.stop)


async def _take(service: Service) -> None:
    for template in ("narrator", "missing1"):
        task_id = await asyncio.to_thread(service.speak, STORY, template)
        await asyncio.to_thread(service.wait_over, task_id)
    spoken = await asyncio.to_thread(service.speak, STORY)
    await asyncio.to_thread(service.wait_over, spoken)
    await asyncio.to_thread(service.speak, ENDLESS, "teahouse")  # one is at work
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM)
        context = await browser.new_context(
            locale="en-US", reduced_motion="reduce", viewport={"width": 1024, "height": 1000}
        )
        page = await context.new_page()
        await page.goto(service.url)
        await expect(page.locator("#health")).to_have_text("healthy")
        await expect(page.locator("#figures")).to_have_attribute("data-known", "yes")
        await expect(page.locator("#recent time").first).to_be_visible()
        await expect(page.locator('#recent tr[data-status="prediction_created"]')).to_be_visible()
        await page.evaluate(NAMELESS)
        await _save(page, "dashboard")
        await page.emulate_media(color_scheme="dark")
        await page.goto(f"{service.url}/task.html?id={spoken}")
        await expect(page.locator("#waveform")).to_be_visible()
        await _save(page, "task")
        await browser.close()


async def _save(page: Page, name: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    picture = await page.screenshot(path=FOLDER / f"{name}.png")
    if len(picture) > LARGEST:
        sys.exit(f"{name}.png has {len(picture)} bytes, and may have {LARGEST}")


if __name__ == "__main__":
    asyncio.run(main())
