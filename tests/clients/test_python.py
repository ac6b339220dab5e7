import asyncio
import threading

import httpx
import pytest

from tests.clients.service import ENDLESS, LONG, SLOW, TEXT, Service
from tests.histories import STATUSES_OF_SPEECH
from tests.waiting import wait_until
from tts.client import AsyncClient, Client, CursorReset, TTSError, calls


@pytest.fixture
def client(service: Service):
    with Client(service.url, trust_env=False) as client:
        yield client


@pytest.fixture
async def async_client(service: Service):
    async with AsyncClient(service.url, trust_env=False) as client:
        yield client


def ids(tasks) -> list[str]:
    return [task.task_id for task in tasks]


class TestBlocking:
    def test_waiting_ends_with_the_audio(self, client):
        """wait=True returns when there is something to play."""
        accepted = client.generate("template1", TEXT, wait=True)
        assert accepted.status == "succeeded"
        audio = httpx.get(accepted.audio_url, trust_env=False)
        assert audio.content.startswith(b"RIFF")

    def test_the_service_can_be_asked_to_hold_its_answer_back(self, client):
        """A number of seconds goes out as Prefer: wait."""
        assert client.generate("template1", TEXT, wait=60).audio_url

    def test_events_end_with_their_tasks(self, client):
        """All statuses of several tasks come in the order of the log, then the iteration ends."""
        tasks = [client.generate("template1", f"{TEXT}{n}").task_id for n in range(2)]
        updates = list(client.events(*tasks))
        assert [u.position for u in updates] == sorted({u.position for u in updates})
        for task in tasks:
            assert [u.status for u in updates if u.task_id == task] == STATUSES_OF_SPEECH
        assert updates[-1].timestamp.tzinfo
        assert updates[-1].audio_url
        assert list(client.events(*tasks, after=updates[-1].position)) == []

    def test_a_failure_keeps_its_code_and_a_retry_can_be_followed(self, client):
        """An old failure in the history does not end what follows the retry."""
        task_id = client.generate("missing1", TEXT).task_id
        with pytest.raises(TTSError, match="404") as failed:
            client.wait_for(task_id)
        assert (failed.value.code, failed.value.task_id) == ("template_not_found", task_id)
        position = client.retry(task_id)
        statuses = [update.status for update in client.events(task_id)]
        assert statuses.count("failed") == 2
        after = [update.status for update in client.events(task_id, after=position)]
        assert after == statuses[statuses.index("retrying") + 1 :]

    def test_a_cancellation_ends_the_waiting(self, client):
        """What was canceled is not waited for any longer."""
        task_id = client.generate("template1", ENDLESS).task_id
        assert client.cancel(task_id) in {"canceling", "canceled"}
        with pytest.raises(TTSError) as ended:
            client.wait_for(task_id)
        assert ended.value.code == "canceled"

    def test_an_erased_task_is_seen_to_be_so(self, client, service):
        """By itself, in its stream, and by who waits for it or wants its audio."""
        task_id = client.generate("template1", TEXT, wait=True).task_id
        path = f"{service.url}/api/tts/task/{task_id}"
        httpx.delete(path, trust_env=False).raise_for_status()
        task, updates = client.task(task_id), list(client.events(task_id))
        assert (task.status, task.audio_url, task.tts_text) == ("succeeded", None, None)
        assert task.erased_at == updates[-1].timestamp
        assert [update.erased for update in updates[-2:]] == [None, True]
        for end in (client.wait_for, lambda task_id: list(client.audio_parts(task_id))):
            with pytest.raises(TTSError) as erased:
                end(task_id)
            assert erased.value.code == "task_erased"

    def test_waiting_can_be_limited(self, client, service):
        """A deadline ends the waiting, not the task."""
        with service.unheard(SLOW):
            task_id = client.generate("template1", SLOW).task_id
            with pytest.raises(TTSError) as ended:
                client.wait_for(task_id, timeout=0.1)
            assert (ended.value.code, ended.value.task_id) == ("timeout", task_id)
        assert client.wait_for(task_id, timeout=60).tts_text == SLOW

    def test_a_refusal_says_why(self, client):
        """The service's own words, code and status."""
        with pytest.raises(TTSError, match="templateId") as refused:
            client.generate("not a template", TEXT)
        assert (refused.value.code, refused.value.status) == ("invalid_request", 400)
        with pytest.raises(TTSError) as unknown:
            client.task("../stats")
        assert (unknown.value.status, unknown.value.transient) == (404, False)

    def test_a_repeated_key_answers_with_the_same_task(self, client):
        """Nothing is spoken twice."""
        first = client.generate("template1", TEXT, idempotency_key="once")
        assert client.generate("template1", TEXT, idempotency_key="once").task_id == first.task_id

    def test_a_format_reaches_the_task(self, client):
        """Else it is as the service is set."""
        asked = [client.generate("template1", TEXT, format=f).task_id for f in ("mp3", None)]
        assert [client.task(task_id).format for task_id in asked] == ["mp3", "wav"]

    def test_a_priority_reaches_the_task(self, client):
        """Left out, it is the service's default."""
        asked = [client.generate("template1", TEXT, priority=p).task_id for p in ("high", None)]
        assert [client.task(task_id).priority for task_id in asked] == ["high", "normal"]

    def test_lists_are_read_page_by_page(self, client, monkeypatch):
        """The pages' borders are not seen."""
        monkeypatch.setattr(calls, "PAGE", 2)
        made = [client.generate("pages", f"{TEXT}{n}").task_id for n in range(5)]
        wait_until(lambda: ids(client.tasks(template_id="pages")) == made[::-1], "all are listed")
        assert ids(client.tasks(template_id="pages", status="failed")) == []


class TestAsync:
    async def test_a_text_is_spoken_while_its_statuses_are_followed(self, async_client):
        """The same as blocking."""
        accepted = await async_client.generate("template1", TEXT)
        updates = [update async for update in async_client.events(accepted.task_id)]
        assert [update.status for update in updates] == STATUSES_OF_SPEECH
        task = await async_client.wait_for(accepted.task_id)
        assert (task.audio_url, task.position) == (updates[-1].audio_url, updates[-1].position)
        assert task.completed_at > task.created_at
        while accepted.task_id not in [task.task_id async for task in async_client.tasks()]:
            await asyncio.sleep(0.02)

    async def test_a_deadline_and_a_cancellation_end_the_waiting(self, async_client):
        """Each with its code."""
        task_id = (await async_client.generate("template1", ENDLESS)).task_id
        with pytest.raises(TTSError) as late:
            await async_client.wait_for(task_id, timeout=0.1)
        assert late.value.code == "timeout"
        await async_client.cancel(task_id)
        with pytest.raises(TTSError) as ended:
            await async_client.wait_for(task_id)
        assert ended.value.code == "canceled"


class TestLongTexts:
    def test_a_long_text_is_heard_while_it_is_spoken(self, client, service):
        """Part after part in order, the first well before the end; together they are the whole."""
        with service.unheard(SLOW):
            task_id = client.generate("template1", LONG).task_id
            parts = client.audio_parts(task_id, timeout=120)
            heard = [next(parts)]
        heard += parts
        assert [part.segment for part in heard] == list(range(heard[0].segments))
        assert heard[0].segments > 2
        task = client.task(task_id)
        assert task.audio_url is not None
        told = {u.partial_audio_url: u.duration for u in client.events(task_id)}
        assert task.duration == pytest.approx(sum(told[part.url] for part in heard), rel=0.05)
        for url in (heard[0].url, task.audio_url):
            assert httpx.get(url, trust_env=False).content.startswith(b"RIFF")
        assert [part.url for part in client.audio_parts(task_id)] == [task.audio_url]

    async def test_the_same_without_blocking(self, async_client, service):
        """The first part is there while others are being spoken."""
        with service.unheard(SLOW):
            task_id = (await async_client.generate("template1", LONG)).task_id
            parts = async_client.audio_parts(task_id, timeout=120)
            first = await anext(parts)
            task = await async_client.task(task_id)
            assert task.status != "succeeded"
            assert task.segments_done < task.segments
        rest = [part async for part in parts]
        assert [part.segment for part in (first, *rest)] == list(range(task.segments))

    def test_a_short_text_is_one_part(self, client):
        """The whole, once it is there."""
        task_id = client.generate("template1", TEXT).task_id
        (part,) = client.audio_parts(task_id)
        assert (part.url, part.segments) == (client.task(task_id).audio_url, 1)

    def test_a_failure_is_raised_in_the_end(self, client):
        """As by wait_for."""
        task_id = client.generate("missing1", TEXT).task_id
        with pytest.raises(TTSError) as failed:
            list(client.audio_parts(task_id))
        assert failed.value.code == "template_not_found"


class TestRestarts:
    async def test_nothing_is_missing_when_the_gateway_is_killed(self, start):
        """Followers of tasks and of everything see each status once, in order, and wait on."""
        service = start()
        tasks = [service.speak(f"{TEXT}{n}") for n in range(3)]
        seen: list[tuple[int, str]] = []
        everything: list[tuple[int, str]] = []
        async with AsyncClient(service.url, trust_env=False) as client:

            async def follow_everything() -> None:
                async for update in client.events(after=0):
                    everything.append((update.position, update.status))  # noqa: PERF401 -- endless

            following = asyncio.create_task(follow_everything())
            waiting = asyncio.create_task(client.wait_for(tasks[-1], timeout=120))
            restarted = False
            async for update in client.events(*tasks):
                seen.append((update.position, update.status))
                if update.status == "prediction_created" and not restarted:
                    restarted = True
                    await asyncio.to_thread(service.restart)
            told = await asyncio.to_thread(service.told, *tasks)
            assert restarted
            assert seen == told
            assert (await waiting).status == "succeeded"
            while len(everything) < len(told):
                await asyncio.sleep(0.02)
            following.cancel()
            await asyncio.wait([following])
        assert everything == told

    def test_the_blocking_client_follows_across_a_restart_too(self, start):
        """Its rules are the same ones."""
        service = start()
        task_id = service.speak(SLOW)
        seen = []
        with Client(service.url, trust_env=False) as client:
            for update in client.events(task_id):
                seen.append((update.position, update.status))
                if len(seen) == 5:
                    restart = threading.Thread(target=service.restart)
                    restart.start()
        restart.join()
        assert seen == service.told(task_id)

    def test_a_follower_of_everything_learns_that_it_was_away_for_too_long(self, start):
        """Never a silent gap: the error says from where to go on."""
        service = start(SSE_REPLAY_LIMIT="3")
        task_id = service.speak()
        service.wait_over(task_id)
        with Client(service.url, trust_env=False) as client:
            with pytest.raises(CursorReset) as away:
                next(client.events(after=0))
            assert away.value.position == client.task(task_id).position

    def test_a_position_from_another_log_starts_the_tasks_over(self, start):
        """A log that was restored from a backup is shorter than what the follower has seen."""
        service = start()
        with Client(service.url, trust_env=False) as client:
            task_id = service.speak(SLOW)
            statuses = [update.status for update in client.events(task_id, after=1_000_000)]
        assert statuses == STATUSES_OF_SPEECH
