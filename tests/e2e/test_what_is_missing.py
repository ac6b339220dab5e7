"""Each part of a distributed deployment is switched off, and it is said what is missing."""

import re
import signal
from contextlib import contextmanager

import httpx
import pytest

from tests.services.distributed import PARTS, Distributed
from tests.waiting import wait_until
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
        wait_until(lambda: unfinished(service) == 1, "what waits is shown")
        system = service.system()
        assert system["queue"]["ready"] is None
        (trouble,) = system["troubles"]
        assert "2 of 2 processes" in trouble["message"]
        assert trouble["since"] is not None
        assert "RabbitMQ" in trouble["action"]
        relay = next(part for part in system["parts"] if part["part"] == "relay")
        assert relay["lastProblem"]["message"]
    finally:
        service.broker.heal()
        service.wait_for_troubles()
    wait_until(lambda: service.system()["queue"]["ready"] is not None, "the broker tells again")


def unfinished(service):
    """As the relay tells, if it does."""
    queue = service.system()["queue"]
    return queue and queue["unfinished"]


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
