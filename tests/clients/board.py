"""The dashboard as tests find their way on it."""

from __future__ import annotations

from playwright.async_api import Locator, Page, expect

from tests.clients.service import Service


async def open_board(page: Page, service: Service) -> None:
    """Return when it is live."""
    await page.goto(service.url)
    await expect(page.locator("#connection")).to_have_attribute("data-state", "open")


def row(page: Page, task_id: str) -> Locator:
    """The task's line in the list."""
    return page.locator(f'#recent tr[data-task-id="{task_id}"]')
