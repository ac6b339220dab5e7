"""Each fact that a room tells of itself is shown under the name that dashboards know."""

import pytest
from prometheus_client import REGISTRY

from tts.callbacks.delivery import CallbackFigures
from tts.domain.failures import TABLE
from tts.gate import facts
from tts.gate.state import Breaker
from tts.observability.metrics import (
    observe_callbacks,
    observe_gate,
    observe_kept,
    observe_relay,
    observe_step,
    observe_storing,
)
from tts.observability.metrics.registries import GATE, PROCESS, PROCESSOR, RELAY, show
from tts.ports.callbacks import CallbackState
from tts.ports.queue import Destination
from tts.processor.resources import StepOutcome
from tts.relay.rescue import Figures

show(GATE, PROCESS, PROCESSOR, RELAY)


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_the_state_of_the_gate_is_shown():
    """The breaker's state is the one that is 1."""
    observe_gate(facts.Figures(Breaker.HALF_OPEN, in_flight=3, per_minute=60.0))
    observe_gate(facts.Waiting(7))
    states = {state.value: value("tts_gate_state", state=state.value) for state in Breaker}
    assert states == {"closed": 0, "open": 0, "half-open": 1}
    assert value("tts_predictions_in_flight") == 3
    assert value("tts_gate_creates_per_minute") == 60
    assert value("tts_gate_waiting") == 7


def test_an_audio_store_that_is_away_is_shown():
    """And what waits for it."""
    observe_storing(facts.Stores(away=True, waiting=3))
    observe_kept(4096)
    assert (value("tts_audio_store_away"), value("tts_audio_store_waiting")) == (1, 3)
    assert value("tts_audio_kept_bytes") == 4096
    observe_storing(facts.Stores(away=False, waiting=0))
    assert (value("tts_audio_store_away"), value("tts_audio_store_waiting")) == (0, 0)


def test_trips_are_counted_by_their_reason():
    """Each counts."""
    before = value("tts_gate_trips_total", reason="replicate_throttled")
    observe_gate(facts.Trip("replicate_throttled"))
    observe_gate(facts.Trip("replicate_throttled"))
    assert value("tts_gate_trips_total", reason="replicate_throttled") == before + 2


@pytest.mark.parametrize("code", ["", "audio_unavailable"])
def test_steps_are_timed_and_their_failures_counted(code):
    """A step that went well is no failure."""
    seconds = value("tts_step_seconds_sum", step="poll")
    failures = value("tts_step_failures_total", step="poll", code=code)
    observe_step(StepOutcome("poll", 2.5, code))
    assert value("tts_step_seconds_sum", step="poll") == seconds + 2.5
    counted = value("tts_step_failures_total", step="poll", code=code) - failures
    assert counted == (1 if code else 0)


def test_the_relays_figures_are_shown():
    """What waits is set, and what happened since the last look is added."""
    rescues, rebuilds = value("tts_rescued_tasks_total"), value("tts_queue_rebuilds_total")
    observe_relay(
        Figures(
            backlog={"high": 1, "normal": 20},
            published=4,
            unfinished=25,
            oldest_seconds=9.5,
            oldest_wait_seconds=4.5,
            ready={Destination.WORK: 3},
            rescued=2,
            rebuilds=1,
        )
    )
    assert value("tts_backlog_tasks", priority="normal") == 20
    assert value("tts_published_tasks") == 4
    assert value("tts_unfinished_tasks") == 25
    assert value("tts_oldest_unfinished_seconds") == 9.5
    assert value("tts_queue_messages", queue="work") == 3
    assert value("tts_rescued_tasks_total") == rescues + 2
    assert value("tts_queue_rebuilds_total") == rebuilds + 1


def test_a_relay_that_leads_no_longer_knows_nothing():
    """Its gauges go, also those with labels; what it has counted stays."""
    rescues = value("tts_rescued_tasks_total")
    observe_relay(None)
    names = ("tts_published_tasks", "tts_unfinished_tasks", "tts_oldest_unfinished_seconds")
    assert [REGISTRY.get_sample_value(name) for name in names] == [None] * 3
    assert REGISTRY.get_sample_value("tts_backlog_tasks", {"priority": "normal"}) is None
    assert REGISTRY.get_sample_value("tts_queue_messages", {"queue": "work"}) is None
    assert value("tts_rescued_tasks_total") == rescues


def test_every_failure_counts_from_zero():
    """Else the first of its kind would be no increase, and no alert would come."""
    for code, step in TABLE:
        if step not in {"template", "request", "find", "deadline"}:  # met at steps of other names
            labels = {"step": step, "code": code}
            assert REGISTRY.get_sample_value("tts_step_failures_total", labels) is not None
    labels = {"step": "start", "code": "template_not_found"}
    assert REGISTRY.get_sample_value("tts_step_failures_total", labels) is not None


def test_every_step_that_can_fail_is_timed_from_the_start():
    """What failures are held against: the first one is a share of something."""
    samples = [sample for family in PROCESSOR.collect() for sample in family.samples]
    timed = {s.labels["step"] for s in samples if s.name == "tts_step_seconds_count"}
    failing = {s.labels["step"] for s in samples if s.name == "tts_step_failures_total"}
    assert failing
    assert timed >= failing


def test_callbacks_are_counted_while_somebody_delivers_them():
    """Attempts by their outcome, which all start at zero; and how many are in which state."""
    before = value("tts_callback_attempts_total", outcome="failed")
    observe_callbacks(CallbackFigures(outcome="failed"))
    observe_callbacks(CallbackFigures(counts={CallbackState.PENDING: 7}))
    assert value("tts_callback_attempts_total", outcome="failed") == before + 1
    assert REGISTRY.get_sample_value("tts_callback_attempts_total", {"outcome": "retried"}) == 0
    assert value("tts_callbacks", state="pending") == 7
    assert REGISTRY.get_sample_value("tts_callbacks", {"state": "failed"}) == 0
    observe_callbacks(None)
    assert REGISTRY.get_sample_value("tts_callbacks", {"state": "failed"}) is None
