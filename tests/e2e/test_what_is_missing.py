"""Each part of a distributed deployment is switched off, and it is said what is missing."""

import re
import signal
import time
from contextlib import contextmanager

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.services.distributed import PARTS, Distributed
from tests.waiting import wait_until
from tts.gate.state import GateState
from tts.observability.overview import SILENT_SECONDS
from tts.observability.remedies import REMEDIES

BODY = {"templateId": "template1", "tts_text": "你好。"}


@pytest.fixture(scope="module")
def service(postgres, rabbitmq, s3):
    """Every test leaves it whole."""
    with Distributed(postgres, rabbitmq, s3) as service:
        service.wait_for_troubles()
        yield service


@contextmanager
def without(service, part):
    """End the part in an orderly way, and start it again at the end."""
    service.parts[part]._process.stop(signal.SIGTERM)
    try:
        yield
    finally:
        service.parts[part].start()
        service.wait_for_troubles()


def test_all_is_well_while_all_are_there(service):
    """Every part is told of, with its version, what it needs, and how far it is behind."""
    health = service.health()
    assert health.status_code == 200
    assert health.json()["data"]["service"] == {"parts": dict.fromkeys(PARTS, 1), "troubles": []}
    system = service.system()
    parts = {part["part"]: part for part in system["parts"]}
    assert parts.keys() == set(PARTS)
    assert {part["state"] for part in parts.values()} == {"alive"}
    assert {part["version"] for part in parts.values()} == {system["version"]}
    assert (parts["processor"]["busy"], parts["processor"]["places"]) == (0, 16)
    assert parts["processor"]["needs"] == dict.fromkeys(
        ["store", "queue", "audio", "workplace"], "ok"
    )
    for part in ("relay", "projector"):
        wait_until(lambda part=part: leads_at_the_end(service, part), f"the {part} is up to date")
    wait_until(lambda: service.system()["queue"], "the relay has looked at its tasks")
    assert service.system()["queue"]["unfinished"] == 0


def leads_at_the_end(service, name):
    (part,) = (part for part in service.system()["parts"] if part["part"] == name)
    return part["role"] == "leading" and part["lag"]["seconds"] == 0.0


@pytest.mark.parametrize("part", ["relay", "processor", "projector"])
def test_a_part_of_which_none_is_left_is_missed(service, part):
    """Since when, what it means and what to do, for people and for machines."""
    with without(service, part):
        service.wait_for_troubles(("no_part", part))
        health = service.health()
        assert health.status_code == 503
        service_seen = health.json()["data"]["service"]
        assert service_seen["parts"] == {**dict.fromkeys(PARTS, 1), part: 0}
        (trouble,) = service_seen["troubles"]
        assert re.fullmatch(rf"No {part} since \d\d:\d\d:\d\d UTC", trouble["message"])
        assert trouble["since"] is not None
        row = REMEDIES["no_part", part]
        assert (trouble["meanwhile"], trouble["action"]) == (row.meanwhile, row.action)
        assert f"No {part} since" in health.json()["error"]
        # The gateway itself is well, and goes on to take requests.
        assert httpx.get(f"{service.url}/health", trust_env=False).status_code == 200


def test_a_part_that_was_killed_is_silent_and_then_missed(service):
    """It said no goodbye, so nothing tells of its end but its silence."""
    process = service.parts["processor"]
    process.kill()
    try:
        wait_until(lambda: ("no_part", "processor") in service.troubles(), "it is missed")
        (part,) = (part for part in service.system()["parts"] if part["part"] == "processor")
        assert (part["state"], part["silentSeconds"] > SILENT_SECONDS) == ("silent", True)
    finally:
        process.start()
        service.wait_for_troubles()


def test_a_broker_that_is_away_is_told_by_those_who_need_it(service):
    """And what waits is known all the same, as it is in the log."""
    service.broker.refuse()
    try:
        service.wait_for_troubles(("need_away", "queue"))
        httpx.post(f"{service.url}/api/tts", json=BODY, trust_env=False).raise_for_status()
        wait_until(lambda: queue(service, "unfinished") == 1, "what waits is shown")
        wait_until(lambda: "2 of 2" in service.system()["troubles"][0]["message"], "both tell")
        system = service.system()
        assert system["queue"]["ready"] is None
        (trouble,) = system["troubles"]
        assert trouble["since"] is not None
        assert "RabbitMQ" in trouble["action"]
        relay = next(part for part in system["parts"] if part["part"] == "relay")
        assert relay["lastProblem"]["message"]
    finally:
        service.broker.heal()
        service.wait_for_troubles()
    wait_until(lambda: queue(service, "ready") is not None, "the broker tells again")


def queue(service, figure):
    """As the relay tells it, if it does."""
    told = service.system()["queue"]
    return told and told[figure]


def test_an_audio_store_that_is_away_is_told_by_the_processors(service):
    """Nothing but they needs it."""
    service.audio.refuse()
    try:
        service.wait_for_troubles(("need_away", "audio"))
        (trouble,) = service.system()["troubles"]
        assert "1 of 1 processes" in trouble["message"]
    finally:
        service.audio.heal()
        service.wait_for_troubles()


def test_nobody_vouches_for_anything_while_the_database_is_away(service):
    """What was known before is neither said nor shown any more, until it is read again."""
    service.database.refuse()
    try:
        unknown = "service: unknown, as the store does not answer"
        wait_until(lambda: unknown in service.health().json().get("error", ""), "nobody knows")
        assert "service" not in service.health().json()["data"]
        url = f"{service.url}/system"
        assert httpx.get(url, timeout=60, trust_env=False).status_code == 503
        wait_until(lambda: not KNOWN & samples(service, "gateway").keys(), "metrics forget")
        wait_until(lambda: ready(service, "gateway") == {"store": 0}, "and say why")
    finally:
        service.database.heal()
        service.wait_for_troubles()
    wait_until(lambda: samples(service, "gateway").keys() >= KNOWN, "and know again")


KNOWN = {"tts_parts_alive", "tts_trouble", "tts_gate_state"}
OWN = {
    "gateway": {"tts_open_streams", "tts_http_requests_total", "tts_parts_alive", "tts_gate_state"},
    "relay": {"tts_unfinished_tasks", "tts_backlog_tasks", "tts_rescued_tasks_total"},
    "processor": {
        "tts_step_failures_total",
        "tts_call_seconds_count",
        "tts_places",
        "tts_gate_state",
        "tts_audio_store_away",
    },
    "projector": {"tts_tasks", "tts_lag_events", "tts_read_model_lag_seconds"},
}


def samples(service, part):
    """What the part's process exports now, by name."""
    text = httpx.get(service.metrics_urls[part], trust_env=False).text
    found = [each for family in text_string_to_metric_families(text) for each in family.samples]
    return {name: [s for s in found if s.name == name] for name in {s.name for s in found}}


def ready(service, part):
    """What the part's process needs: 1 for what it has."""
    found = samples(service, part).get("tts_ready", [])
    return {each.labels["need"]: each.value for each in found}


def test_each_process_shows_its_own_metrics_and_nobody_elses(service):
    """And what all have: build, needs, who leads."""
    others = set().union(*OWN.values())
    for part, names in OWN.items():
        wait_until(lambda p=part, n=names: n <= samples(service, p).keys(), f"{part} shows {names}")
        shown = samples(service, part)
        assert shown.keys() & (others - names) == set(), part
        assert "tts_build_info" in shown
        assert {s.labels["outcome"] for s in shown["tts_tasks_finished_total"]} >= {"canceled"}
        wait_until(lambda p=part: ready(service, p).get("store") == 1, f"{part} has its store")
    everybody = dict.fromkeys(PARTS, 1)
    wait_until(lambda: alive_by_metrics(service) == everybody, "the gateway shows all")
    wait_until(lambda: not troubles_by_metrics(service), "and no trouble")


def troubles_by_metrics(service):
    return [each for each in samples(service, "gateway")["tts_trouble"] if each.value]


def alive_by_metrics(service):
    found = samples(service, "gateway").get("tts_parts_alive", [])
    return {each.labels["kind"]: each.value for each in found}


def test_the_gates_state_moves_by_itself(service):
    """At a gateway nobody asks for /system, and at a processor that has nothing to do."""
    with psycopg.connect(service.store_url, autocommit=True) as connection:
        state = GateState(
            open_until=time.time() + 50, since=time.time(), code="replicate_throttled"
        )
        connection.execute(
            "INSERT INTO shared_documents VALUES ('gate', %s, 99) ON CONFLICT (name) "
            "DO UPDATE SET body = excluded.body, version = 99",
            (state.as_json(),),
        )

        def is_open(part):
            states = samples(service, part).get("tts_gate_state", [])
            return {s.labels["state"]: s.value for s in states}.get("open") == 1

        for part in ("gateway", "processor"):
            wait_until(lambda p=part: is_open(p), f"the {part} shows it")
        connection.execute("DELETE FROM shared_documents WHERE name = 'gate'")
        for part in ("gateway", "processor"):
            wait_until(lambda p=part: not is_open(p), f"the {part} shows its end")


def test_a_relay_that_stands_by_shows_no_figures(service):
    """Those of the one who leads would be counted twice, and stay when it is gone."""
    second = service.start_more("relay")
    url = service.metrics_urls["relay-2"]
    try:
        wait_until(lambda: service.health().json()["data"]["service"]["parts"]["relay"] == 2, "two")
        wait_until(lambda: "tts_leader" in httpx.get(url, trust_env=False).text, "it stands by")
        shown = samples(service, "relay-2")
        assert [s.value for s in shown["tts_leader"]] == [0]
        assert "tts_unfinished_tasks" not in shown
        service.parts["relay"]._process.stop(signal.SIGTERM)
        wait_until(lambda: "tts_unfinished_tasks" in samples(service, "relay-2"), "it takes over")
    finally:
        service.parts["relay"].start()
        second._process.stop(signal.SIGTERM)
        service.wait_for_troubles()
