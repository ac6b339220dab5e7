"""The pages as tests find their way on them."""

from __future__ import annotations

from playwright.async_api import Locator, Page, expect

from tests.clients.service import Service

HIDE = """({ hidden }) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


async def open_board(page: Page, service: Service) -> None:
    """Return when the dashboard is live."""
    await page.goto(service.url)
    await expect(page.locator("#connection")).to_have_attribute("data-state", "open")


def row(page: Page, task_id: str) -> Locator:
    """The task's line in the list."""
    return page.locator(f'#recent tr[data-task-id="{task_id}"]')


async def hide(page: Page, *, hidden: bool = True) -> None:
    """Have the page know that nobody sees it, or that somebody does again."""
    await page.evaluate(HIDE, {"hidden": hidden})
