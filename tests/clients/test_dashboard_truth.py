"""The dashboard shows nothing as good that it does not know, whatever is missing or away."""

import asyncio
import os
import signal

import httpx
import pytest
from playwright.async_api import Page, expect

from gateway.access import keys
from gateway.access.roles import Role
from tests.services.distributed import Distributed
from tests.waiting import until
from tts.observability.remedies import REMEDIES

pytestmark = pytest.mark.asyncio(loop_scope="session")

GREEN = """() => {
  const green = document.createElement("i");
  green.style.color = "var(--good)";
  document.body.append(green);
  const good = getComputedStyle(green).color;
  green.remove();
  const shown = [];
  for (const node of document.querySelectorAll("body *")) {
    if (!node.checkVisibility()) continue;
    for (const pseudo of [null, "::before"]) {
      const style = getComputedStyle(node, pseudo);
      const drawn = pseudo === null ? node.innerText : style.content !== "none";
      const colours = [style.backgroundColor, ...(drawn ? [style.color] : [])];
      if (colours.includes(good)) shown.push(`${node.tagName}#${node.id}.${node.className}`);
    }
  }
  return shown;
}"""


async def green(page: Page) -> list[str]:
    """What is drawn in the colour of good news."""
    found: list[str] = await page.evaluate(GREEN)
    return found


async def test_nothing_is_green_before_a_key_or_after_a_wrong_one(page, start, tmp_path):
    """Who shows a wrong key, or one that does not see this, is told so; then all turns green."""
    file = tmp_path / "keys.json"
    app = keys.add(file, owner="shop", role=Role.APP, expires=None)[1]
    wall_key, wall = keys.add(file, owner="wall", role=Role.DASHBOARD, expires=None)
    service = start(TTS_API_KEYS_FILE=str(file))
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    await page.goto(service.url)
    await expect(page.locator("#key-form")).to_be_visible()
    await expect(page.locator("#key-problem")).to_be_hidden()
    await expect(page.locator("#health")).to_have_text("未知")
    for nothing in ("#no-tasks", "#no-letters"):  # nobody knows that there are none
        await expect(page.locator(nothing)).to_be_hidden()
    assert await green(page) == []

    for key, words in (("tts_wrong", "无效"), ("不是密钥", "无效"), (app, "角色")):
        await page.fill("#key", key)
        await page.click("#key-form button")
        await expect(page.locator("#key-problem")).to_contain_text(words)
        await expect(page.locator("#key-form")).to_be_visible()
        assert await green(page) == []

    await page.fill("#key", wall)
    await page.click("#key-form button")
    await expect(page.locator("#key-form")).to_be_hidden()
    await expect(page.locator("#health")).to_have_text("正常")
    await expect(page.locator("#totals dd").first).to_have_text("0")
    await expect(page.locator("#parts li[data-ok=true]")).to_have_count(4)
    assert await green(page) != []
    assert said == []  # nothing was asked for that a key may not have

    keys.revoke(file, wall_key.id)
    await expect(page.locator("#key-problem")).to_contain_text("吊销")
    await expect(page.locator("#connection")).not_to_have_attribute("data-state", "open")
    await until(lambda: _is_colourless(page), "nothing is green")


async def test_nothing_stays_green_while_the_gateway_is_down(page, start):
    """What was read before is grey, with the time of its reading, until it is read again."""
    service = start()
    await page.goto(service.url)
    blocks = ("#counts", "#parts-card", "#system-card", "#figures", "#letters-card", "#tasks-card")
    for block in blocks:
        await expect(page.locator(block)).to_have_attribute("data-known", "yes")
    service.process.kill()
    await expect(page.locator("#connection")).to_have_attribute("data-state", "reconnecting")
    await expect(page.locator("#health")).to_have_text("未知")
    for block in blocks:
        await expect(page.locator(block)).to_have_attribute("data-known", "no")
        await expect(page.locator(f"{block} .as-of")).to_contain_text("截至")
    await until(lambda: _is_colourless(page), "nothing is green")
    await asyncio.to_thread(service.restart)
    await expect(page.locator("#health")).to_have_text("正常")
    await expect(page.locator("#counts")).to_have_attribute("data-known", "yes")


async def test_nothing_stays_green_while_the_gateway_hangs(page, start):
    """One that takes connections and answers nobody is not taken for well."""
    service = start()
    await page.goto(service.url)
    await expect(page.locator("#health")).to_have_text("正常")
    os.kill(service.process.pid, signal.SIGSTOP)
    try:
        await expect(page.locator("#health")).to_have_text("未知")
        await expect(page.locator("#parts-card")).to_have_attribute("data-known", "no")
    finally:
        os.kill(service.process.pid, signal.SIGCONT)
    await expect(page.locator("#health")).to_have_text("正常")


@pytest.fixture
def distributed(postgres, rabbitmq, s3):
    """A deployment that is whole at first."""
    with Distributed(postgres, rabbitmq, s3) as service:
        service.wait_for_troubles()
        yield service


async def test_parts_that_are_gone_are_missed_on_the_page(page, distributed):
    """Since when, what it means and what to do; and lists that stand still say so."""
    await page.goto(distributed.url)
    await expect(page.locator("#health")).to_have_text("正常")
    for part in ("processor", "projector"):
        process = distributed.parts[part]
        await asyncio.to_thread(process._process.stop, signal.SIGTERM)
        trouble = page.locator(f'.trouble[data-subject="{part}"]')
        await expect(trouble).to_contain_text(f"没有 {part}")
        await expect(trouble).to_contain_text("起")
        await expect(trouble.locator(".action")).to_contain_text(f"tts {part}")
        await expect(page.locator("#health")).to_have_attribute("data-tone", "bad")
        await expect(page.locator(f'#parts li[data-part="{part}"]')).to_have_attribute(
            "data-ok", "false"
        )
        known = "no" if part == "projector" else "yes"
        for block in ("#counts", "#letters-card"):
            await expect(page.locator(block)).to_have_attribute("data-known", known)
        await page.click("#language")
        await expect(trouble).to_contain_text(f"No {part} since")
        await page.click("#language")
        await asyncio.to_thread(process.start)
        await expect(trouble).to_have_count(0)
    await expect(page.locator("#counts")).to_have_attribute("data-known", "yes")

    distributed.broker.refuse()
    distributed.audio.refuse()
    for need in ("queue", "audio"):
        await expect(page.locator(f'.trouble[data-subject="{need}"]')).to_be_visible()
    httpx_post = asyncio.to_thread(
        httpx.post,
        f"{distributed.url}/api/tts",
        json={"templateId": "t", "tts_text": "你好。"},
        trust_env=False,
    )
    assert (await httpx_post).is_success
    await until(lambda: _waiting(page), "what waits is shown")

    distributed.database.refuse()
    await expect(page.locator("#health")).to_have_text("未知")
    await expect(page.locator("#connection")).not_to_have_attribute("data-state", "open")
    await expect(page.locator("#problem")).to_be_visible()
    await until(lambda: _is_colourless(page), "nothing is green")
    for link in (distributed.database, distributed.broker, distributed.audio):
        link.heal()
    await expect(page.locator("#health")).to_have_text("正常")
    await expect(page.locator("#connection")).to_have_attribute("data-state", "open")
    await expect(page.locator("#problem")).to_be_hidden()


async def _is_colourless(page: Page) -> bool:
    return not await green(page)


async def _waiting(page: Page) -> bool:
    facts = await page.locator("#queue-facts").inner_text()
    return "未完成\n1" in facts


async def test_every_trouble_has_its_words_in_chinese(page, start):
    """One that is new in the service is missed here."""
    await page.goto(start().url)
    words = await page.evaluate('async () => (await import("/page/troubles.js")).CHINESE')
    assert words.keys() == {f"{code} {subject}" for code, subject in REMEDIES}
    assert {len(each) for each in words.values()} == {3}
