"""The site of ops/nginx, in the real nginx before real gateways."""

import json
import re
import socket
import ssl
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import product

import httpx
import pytest
from httpx_sse import connect_sse
from websockets.sync.client import connect

from tests.ops.nginx_site import SITE
from tests.ops.proxied import SLOW, Proxied
from tts.config import Settings

pytestmark = pytest.mark.ops

FINAL = {"succeeded", "failed", "canceled"}
BODY = {"templateId": "template1", "tts_text": SLOW}
CLIENTS = 6
PAUSE_SECONDS = 0.1  # below the site's own limit for one address
PATIENCE_SECONDS = 10.0  # so long may a request take while a gateway hangs


@pytest.fixture(scope="module")
def service(authority, tmp_path_factory):
    with ExitStack() as stack:
        yield Proxied(stack, tmp_path_factory.mktemp("data"), authority)


def task_of(http):
    """A new task, which takes two seconds."""
    answer = http.post("api/tts", json=BODY)
    return answer.raise_for_status().json()["data"]["taskId"]


def updates(http, task, after=0):
    """The updates of a stream, up to a final one."""
    headers = {"Last-Event-ID": str(after)} if after else {}
    with connect_sse(http, "GET", "events", params={"taskId": task}, headers=headers) as source:
        for event in source.iter_sse():
            if event.event == "task_update":
                update = json.loads(event.data)
                yield update
                if update["status"] in FINAL:
                    return


class TestStreams:
    def test_events_come_through_as_they_happen(self, service):
        """A client hears of the beginning of its task long before the end."""
        task = task_of(service.http)
        stream = updates(service.http, task)
        assert next(stream)["status"] == "starting"
        assert service.http.get(f"api/tts/task/{task}").json()["data"]["status"] not in FINAL
        assert list(stream)[-1]["status"] == "succeeded"

    def test_a_stream_that_nginx_cut_is_resumed_without_gap_or_duplicate(self, service):
        """What the first connection brought and what the second one brings is the whole story."""
        task = task_of(service.http)
        stream = updates(service.http, task)
        seen = [next(stream)["position"], next(stream)["position"]]
        service.site.nginx.halt()
        with pytest.raises(httpx.TransportError):
            list(stream)
        service.site.nginx.start()
        seen += [update["position"] for update in updates(service.http, task, after=seen[-1])]
        story = service.http.get(f"api/tts/task/{task}/events").json()["data"]["events"]
        assert seen == [event["position"] for event in story]

    def test_a_socket_is_upgraded_and_carries_commands(self, service):
        """A page of the public name may open one."""
        url = service.site.url.replace("https:", "wss:")
        with connect(f"{url}/ws", ssl=service.tls, origin=service.site.url, proxy=None) as client:
            client.send(json.dumps({"type": "generate", "id": 1, **BODY}))
            kinds = set()
            while "ack" not in kinds:
                kinds.add(json.loads(client.recv(timeout=20))["type"])


class TestRequests:
    def test_browsers_are_offered_http_2(self, service):
        """All streams of a browser then share one connection."""
        tls = ssl.create_default_context(cafile=service.authority)
        tls.set_alpn_protocols(["h2", "http/1.1"])
        with (
            socket.create_connection(("127.0.0.1", service.site.port)) as plain,
            tls.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            assert secure.selected_alpn_protocol() == "h2"

    def test_plain_http_is_sent_to_https(self, service):
        """Nobody's key goes over the wire in the clear twice."""
        answer = httpx.get(f"{service.site.plain_url}/docs", trust_env=False)
        assert (answer.status_code, answer.headers["Location"]) == (
            301,
            "https://localhost/docs",
        )

    def test_what_is_too_large_is_refused_in_the_gateways_own_words(self, service):
        """An app finds the code that it knows."""
        large = {**BODY, "tts_text": "x" * (Settings.model_fields["request_max_bytes"].default + 1)}
        answer = service.http.post("api/tts", json=large)
        assert answer.status_code == 413
        assert answer.json()["success"] is False

    def test_metrics_are_not_for_everybody(self, service):
        """They are scraped at the gateways."""
        assert service.http.get("metrics").status_code == 404

    def test_waiting_for_audio_ends_no_sooner_than_the_gateway_says(self):
        """The proxy is more patient than WAIT_MAX_SECONDS and two heartbeats."""
        patient = re.findall(r"proxy_read_timeout (\d+)s;", SITE.read_text())[1:]
        fields = Settings.model_fields
        for seconds in map(int, patient):
            assert seconds > fields["wait_max_seconds"].default
            assert seconds > 2 * fields["sse_heartbeat_interval_ms"].default / 1000

    def test_every_post_has_its_time_and_is_repeated_if_it_may_be(self, service):
        """With a key or not, waiting or not: each is accepted through a place of its own."""
        for number, (key, prefer) in enumerate(product((True, False), repeat=2)):
            headers = {"Idempotency-Key": f"place-{number}"} if key else {}
            headers |= {"Prefer": "wait=30"} if prefer else {}
            answer = service.http.post("api/tts", json=BODY, headers=headers)
            assert answer.status_code == (200 if prefer else 202), (headers, answer.text)

    def test_a_gateway_that_hangs_is_left_for_the_other_one(self, service):
        """Requests that may be repeated are answered within ten seconds, whoever they came to."""
        with service.hanging(0):
            for number in range(2):  # by turns
                began = time.monotonic()
                key = {"Idempotency-Key": f"hanging-{number}"}
                assert service.http.post("api/tts", json=BODY, headers=key).status_code == 202
                assert service.http.get("health").status_code == 200
                assert time.monotonic() - began < 2 * PATIENCE_SECONDS


class TestRestarts:
    def test_gateways_that_restart_one_by_one_fail_no_request(self, service):
        """Neither a look at the health nor a text with its key, while both are replaced twice."""
        over = threading.Event()
        answers = Counter()

        def ask(name):
            with httpx.Client(
                base_url=service.site.url, verify=service.tls, trust_env=False, timeout=20
            ) as http:
                number = 0
                while not over.wait(PAUSE_SECONDS):
                    number += 1
                    key = {"Idempotency-Key": f"{name}-{number}"}
                    answers[http.post("/api/tts", json=BODY, headers=key).status_code] += 1
                    answers[http.get("/health").status_code] += 1

        with ThreadPoolExecutor(CLIENTS) as threads:
            clients = [threads.submit(ask, name) for name in range(CLIENTS)]
            try:
                for number in (0, 1, 0, 1):
                    service.restart(number)
            finally:
                over.set()
            for client in clients:
                client.result()
        assert set(answers) == {200, 202}, answers


def test_pages_api_and_streams_work_below_a_path(authority, tmp_path):
    """The location that the site has as a comment serves all of it under a prefix."""
    with ExitStack() as stack:
        service = Proxied(stack, tmp_path, authority, prefix="/tts")
        page = service.http.get("").text
        for name in re.findall(r'(?:src|href)="([a-z][^"]*\.(?:js|css|html))"', page):
            assert service.http.get(name).status_code == 200, name
        statuses = list(updates(service.http, task_of(service.http)))
        assert statuses[-1]["status"] == "succeeded"
        assert httpx.get(statuses[-1]["audioUrl"], verify=service.tls, trust_env=False).is_success
