"""The example page in a real browser, as somebody would use it."""

import asyncio
import re
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from gateway.access import keys
from gateway.access.roles import Role
from tests.clients.board import hide, open_board
from tests.clients.service import ENDLESS, LONG, SLOW, TEXT, Service
from tests.histories import STATUSES_OF_SPEECH
from tests.services.link import Link

pytestmark = pytest.mark.asyncio(loop_scope="session")
WHOLE = re.compile("/audio-[^/]*$")
PAGES = 8  # to one host a browser opens six connections of HTTP/1.1
PLAYED = "(audio) => audio.duration > 1 && audio.currentTime > 0.2 && !audio.error"
OBSERVE = """(audio) => {
  audio.defaultPlaybackRate = audio.playbackRate = 16;
  audio.heard = [];
  audio.addEventListener("playing", () => {
    const { status } = audio.closest(".task").dataset;
    const goesOn = audio.heard.at(-1)?.[0] === audio.currentSrc; // after it had to load more
    if (!goesOn) audio.heard.push([audio.currentSrc, status]);
  });
}"""


class Example:
    """The page's controls."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = f"{url}/sse-client-example.html"

    async def open(self) -> None:
        """Load the page and wait for its stream."""
        await self.page.goto(self.url)
        await self.connected()

    async def connected(self) -> None:
        """Return when the stream is open."""
        await expect(self.page.locator("#connection")).to_have_attribute("data-state", "open")

    async def show(self, key: str) -> None:
        """Show a key and wait for its stream."""
        await self.page.locator("details", has=self.page.locator("#key")).evaluate(
            "(it) => (it.open = true)"
        )
        await self.page.fill("#key", key)
        await self.page.click("#key-form button")
        await self.connected()

    async def generate(self, text: str = TEXT, template: str = "template1") -> Locator:
        """Have a text spoken; its card."""
        await self.page.fill("#template", template)
        await self.page.fill("#text", text)
        before = await self.page.locator(".task").count()
        await self.page.click("#generate")
        await expect(self.page.locator(".task")).to_have_count(before + 1)
        newest = self.page.locator(".task").first
        return self.card(await newest.get_attribute("data-task-id"))

    def card(self, task_id: str | None) -> Locator:
        """That of a task."""
        return self.page.locator(f'.task[data-task-id="{task_id}"]')


async def reach(card: Locator, status: str) -> None:
    await expect(card).to_have_attribute("data-status", status)


async def had(card: Locator, status: str) -> None:
    """Return when the task has come to the status, and perhaps further."""
    await expect(card.locator(f'.timeline [data-status="{status}"]').first).to_be_attached()


async def timeline(card: Locator) -> list[tuple[int, str]]:
    steps = "steps => steps.map(({dataset}) => [Number(dataset.position), dataset.status])"
    return [tuple(step) for step in await card.locator(".timeline li").evaluate_all(steps)]


async def logged(service: Service, card: Locator) -> list[tuple[int, str]]:
    return await asyncio.to_thread(service.told, await card.get_attribute("data-task-id"))


@pytest_asyncio.fixture(loop_scope="session")
async def example(page, service):
    example = Example(page, service.url)
    await example.open()
    return example


async def test_a_text_is_spoken_and_heard(example):
    """Every status arrives with its time, and the audio plays by itself."""
    card = await example.generate()
    await reach(card, "succeeded")
    assert [status for _, status in await timeline(card)] == STATUSES_OF_SPEECH
    times = await card.locator("time").evaluate_all("times => times.map((time) => time.dateTime)")
    assert times == sorted(times)
    audio = card.locator("audio")
    await example.page.wait_for_function(PLAYED, arg=await audio.element_handle())
    await expect(card.locator(".said")).to_have_text(TEXT)


async def test_a_long_text_is_heard_from_its_first_part_on(example, service):
    """Part follows part, the first while the rest is being spoken; then the whole is there."""
    with service.unheard(SLOW):
        card = await example.generate(LONG)
        audio = card.locator("audio")
        await audio.evaluate(OBSERVE)
        element = await audio.element_handle()
        await example.page.wait_for_function("(audio) => audio.heard.length > 0", arg=element)
    await reach(card, "succeeded")
    task = await asyncio.to_thread(service.task, await card.get_attribute("data-task-id"))
    await expect(audio).to_have_attribute("src", task["audioUrl"])
    heard = await audio.evaluate("(audio) => audio.heard")
    assert [url for url, _ in heard] == task["partialAudioUrls"]
    assert heard[0][1] not in {"succeeded", "failed"}
    assert task["segments"] == len(heard)
    await expect(card.locator(".progress output")).to_have_text(f"{len(heard)}/{len(heard)} 段")
    statuses = [status for _, status in await timeline(card)]
    assert statuses == [*STATUSES_OF_SPEECH[:3], *["download_complete"] * len(heard), "succeeded"]


async def test_with_keys_the_audio_is_heard_by_whoever_shows_one(page, start, tmp_path):
    """The whole and every part play with tokens; after a reload, too, as the tab keeps the key."""
    file = tmp_path / "keys.json"
    key = keys.add(file, owner="shop", role=Role.APP, expires=None)[1]
    example = Example(page, start(TTS_API_KEYS_FILE=str(file)).url)
    await page.goto(example.url)
    await example.show(key)
    long = await example.generate(LONG)
    await long.locator("audio").evaluate(OBSERVE)
    await reach(long, "succeeded")
    parts = await long.locator(".progress .parts i").count()
    await expect(long.locator("audio")).to_have_attribute("data-url", WHOLE)
    heard = await long.locator("audio").evaluate("(audio) => audio.heard")
    assert [bool(re.search(r"[?]token=", url)) for url, _ in heard] == [True] * parts
    short = await example.generate()
    await page.wait_for_function(PLAYED, arg=await short.locator("audio").element_handle())
    await page.reload()
    await example.connected()
    for card in (short, long):
        audio = card.locator("audio")
        await audio.evaluate("(audio) => audio.play()")
        await page.wait_for_function(PLAYED, arg=await audio.element_handle())


async def test_two_long_texts_are_not_heard_at_once(example):
    """The second one waits for a click, which makes the first one pause."""
    playing = "() => [...document.querySelectorAll('audio')].filter((a) => !a.paused).length"
    first, second = await example.generate(LONG), await example.generate(LONG)
    await example.page.wait_for_function(playing)
    await reach(first, "succeeded")
    await reach(second, "succeeded")
    assert await example.page.evaluate(playing) <= 1
    await second.locator("audio").evaluate("(audio) => audio.play()")
    paused = [
        await card.locator("audio").evaluate("(audio) => audio.paused") for card in (first, second)
    ]
    assert paused == [True, False]


async def test_a_failure_is_explained_and_can_be_retried(example):
    """The reason stands on the card, and another round goes on under it."""
    card = await example.generate(template="missing1")
    await reach(card, "failed")
    await expect(card.locator(".problem")).to_contain_text("template_not_found")
    await card.locator(".retry").click()
    await expect(card.locator('[data-status="failed"]')).to_have_count(2)
    assert [status for _, status in await timeline(card)].count("retrying") == 1


async def test_a_task_can_be_canceled(example):
    """The button is there while the task runs."""
    card = await example.generate(ENDLESS)
    await card.locator(".cancel").click()
    await reach(card, "canceled")
    await expect(card.locator(".cancel")).to_be_hidden()


async def test_what_is_said_is_text_and_never_markup(example):
    """Neither a text nor an answer of the service can run a script."""
    text = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"
    card = await example.generate(text)
    await reach(card, "succeeded")
    await expect(card.locator(".said")).to_have_text(text)
    assert await card.locator("img, script").count() == 0
    assert await example.page.title() == "语音合成 · 实时状态"


async def test_the_page_speaks_english_as_well(example):
    """The switch changes everything at once, and is remembered."""
    card = await example.generate()
    await reach(card, "succeeded")
    await expect(card.locator(".badge")).to_have_text("成功")
    await example.page.click("#language")
    await expect(card.locator(".badge")).to_have_text("Succeeded")
    await example.page.reload()
    await expect(example.page.locator("#generate")).to_have_text("Generate")


async def test_what_happens_while_disconnected_arrives_later(example, service):
    """Disconnecting, and even reloading the page, hides nothing for good."""
    card = await example.generate(SLOW)
    await example.page.click("#disconnect")
    await expect(example.page.locator("#connection")).to_have_attribute("data-state", "closed")
    task_id = await card.get_attribute("data-task-id")
    await asyncio.to_thread(service.wait_over, task_id)
    await example.page.reload()
    await reach(card, "succeeded")
    assert await timeline(card) == await logged(service, card)


async def test_a_lost_network_leaves_no_gap(page, service):
    """The stream resumes where it broke, when the network is back."""
    with Link(urlsplit(service.url).port) as network:
        example = Example(page, network.through(service.url))
        await example.open()
        card = await example.generate(SLOW)
        await had(card, "prediction_created")
        network.refuse()
        await expect(page.locator("#connection")).to_have_attribute("data-state", "reconnecting")
        task_id = await card.get_attribute("data-task-id")
        await asyncio.to_thread(service.wait_over, task_id)
        network.heal()
        await reach(card, "succeeded")
        assert await timeline(card) == await logged(service, card)


async def test_all_pages_of_a_browser_share_a_stream_and_a_key(page, start, tmp_path):
    """Whichever they are: each shows what happens, and none holds up the others."""
    file = tmp_path / "keys.json"
    key = keys.add(file, owner="boss", role=Role.ADMIN, expires=None)[1]
    service = start(TTS_API_KEYS_FILE=str(file))
    example = Example(page, service.url)
    await page.goto(example.url)
    await expect(page.locator("#problem")).to_have_text("需要 API 密钥")
    await example.show(key)
    others = [Example(await page.context.new_page(), service.url) for _ in range(PAGES - 2)]
    for other in others:
        await other.open()
    await open_board(await page.context.new_page(), service)
    card = await example.generate()
    await reach(card, "succeeded")
    told = await timeline(card)
    task_id = await card.get_attribute("data-task-id")
    for other in others:
        its = other.card(task_id)
        await reach(its, "succeeded")
        assert await timeline(its) == told
    await asyncio.to_thread(service.wait_for_streams, 1, key)

    await others[0].page.click("#sign-out")
    for each in (example, others[0]):
        await expect(each.page.locator("#problem")).to_have_text("需要 API 密钥")
        await expect(each.card(task_id)).to_have_count(0)


async def test_without_a_shared_worker_a_hidden_page_has_no_stream(page, service):
    """What was missed is there when the page is seen again."""
    await page.add_init_script("delete globalThis.SharedWorker")
    example = Example(page, service.url)
    await example.open()
    card = await example.generate(SLOW)
    await hide(page)
    await expect(page.locator("#connection")).to_have_attribute("data-state", "closed")
    task_id = await card.get_attribute("data-task-id")
    await asyncio.to_thread(service.wait_over, task_id)
    await hide(page, hidden=False)
    await reach(card, "succeeded")
    assert await timeline(card) == await logged(service, card)


async def test_a_key_that_may_only_look_sees_no_buttons(page, start, tmp_path):
    """Of those that it may not press."""
    file = tmp_path / "keys.json"
    key = keys.add(file, owner="wall", role=Role.DASHBOARD, expires=None)[1]
    example = Example(page, start(TTS_API_KEYS_FILE=str(file)).url)
    await page.goto(example.url)
    await example.show(key)
    await expect(page.locator("#generate")).to_be_hidden()


async def test_a_killed_gateway_leaves_no_gap_and_no_double(page, start):
    """After kill -9 and a new start the timelines are those of the log."""
    service = start()
    example = Example(page, service.url)
    await example.open()
    cards = [await example.generate(), await example.generate(SLOW)]
    await had(cards[-1], "prediction_created")
    await asyncio.to_thread(service.restart)
    await example.connected()
    cards.append(await example.generate())
    for card in cards:
        await reach(card, "succeeded")
        assert await timeline(card) == await logged(service, card)


async def test_the_client_is_a_module_and_a_script(example, service):
    """Both ways to load it give the same class, also to a page of another origin."""
    module = f"{service.url}/client/SSEClient.mjs"
    both = f"async () => (await import('{module}')).TTSEventClient === window.TTSEventClient"
    assert await example.page.evaluate(both)
    other = await example.page.context.new_page()
    await other.goto(f"{service.url}/health".replace("127.0.0.1", "localhost"))
    await other.add_script_tag(url=f"{service.url}/client/SSEClient.js")
    assert await other.evaluate("typeof new TTSEventClient().connect") == "function"
    assert await other.evaluate(f"async () => !!(await import('{module}')).default")


async def test_a_page_that_may_not_read_the_answers_is_told_so(page: Page, service: Service):
    """Another origin that CORS_ORIGINS does not list gets an error, and does not try for ever."""
    await page.goto(f"{service.url.replace('127.0.0.1', 'localhost')}/health")
    await page.add_script_tag(url="/client/SSEClient.js")
    heard = await page.evaluate(
        """async (baseUrl) => {
            const client = new TTSEventClient({ baseUrl });
            const code = (error) => error.code;
            const connecting = await client.connect().catch(code);
            return [connecting, client.state, await client.getTask("t").catch(code)];
        }""",
        service.url,
    )
    assert heard == ["cors", "closed", "cors"]
