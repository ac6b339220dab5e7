"""The retry decision, without a clock, a store or a queue."""

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.domain.failures import StepError, Treatment
from tts.domain.retry import MAX_CREATIONS, RETRY_AFTER_CAP_SECONDS, RetryPolicy, decide, on_grid
from tts.domain.task import Task
from tts.domain.values import GiveUp, RetryLater

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXAMPLES = {
    Treatment.PERMANENT: ("invalid_input", "create"),
    Treatment.TRANSIENT: ("internal_error", "poll"),
    Treatment.THROTTLED: ("replicate_throttled", "create"),
    Treatment.CONFIGURATION: ("replicate_unauthorized", "create"),
    Treatment.AMBIGUOUS: ("create_ambiguous", "create"),
    Treatment.LOST: ("prediction_lost", "poll"),
}
POLICY = RetryPolicy(initial=1.0, multiplier=2.0, maximum=60.0, jitter="none")


def a_task(*, attempt: int = 1, deadline: timedelta = timedelta(hours=1)) -> Task:
    task = Task.request(
        id=uuid4(),
        template_id="t",
        text_hash="h",
        text_length=2,
        segments=[[0, 2]],
        owner="",
        max_attempts=3,
        deadline_at=NOW + deadline,
        idempotency_key=None,
        now=NOW,
    )
    task.attempt = attempt
    return task


def decided(
    treatment: Treatment, *, retry_after: float | None = None, creating: bool = True, **task
):
    failure = StepError(*EXAMPLES[treatment], "it broke", retry_after=retry_after)
    return decide(
        a_task(**task), 0, failure, POLICY, creating=creating, now=NOW, random=lambda: 0.5
    )


def decided_of(task: Task, code: str, step: str) -> RetryLater | GiveUp:
    failure = StepError(code, step, "it broke")
    return decide(task, 0, failure, POLICY, creating=False, now=NOW, random=lambda: 0.5)


class TestDecisions:
    def test_a_permanent_failure_ends_the_task_at_once(self):
        """No attempt is spent on what cannot get better."""
        assert decided(Treatment.PERMANENT) == GiveUp(
            error=decided(Treatment.PERMANENT).error, permanent=True, abandoned=[], settled=[0]
        )

    def test_a_transient_failure_uses_an_attempt_and_waits_longer_each_time(self):
        """The delay doubles with the attempt."""
        first, second = decided(Treatment.TRANSIENT), decided(Treatment.TRANSIENT, attempt=2)
        assert isinstance(first, RetryLater)
        assert isinstance(second, RetryLater)
        assert (first.attempt, first.delay) == (2, 1.0)
        assert (second.attempt, second.delay) == (3, 2.0)

    def test_the_last_attempt_is_followed_by_failure(self):
        """After max_attempts the task fails, and not as permanent: a person may try again."""
        decision = decided(Treatment.TRANSIENT, attempt=3)
        assert isinstance(decision, GiveUp)
        assert not decision.permanent

    @pytest.mark.parametrize("treatment", [Treatment.THROTTLED, Treatment.CONFIGURATION])
    def test_what_the_task_is_not_to_blame_for_uses_no_attempt(self, treatment):
        """Limits and wrong credentials keep the attempt's number, even on the last attempt."""
        decision = decided(treatment, attempt=3)
        assert isinstance(decision, RetryLater)
        assert decision.attempt == 3

    def test_a_store_that_refuses_us_is_tried_more_and_more_rarely(self):
        """Nothing is gained by trying every second, nor by waiting for long after the repair."""
        task = a_task()
        task.queue(now=NOW)
        failure = StepError("audio_refused", "audio", "AccessDenied")
        delays = []
        for _ in range(5):
            lease = task.claim(worker="w", now=task.due_at or NOW)
            decision = decide(
                task, None, failure, POLICY, creating=False, now=NOW, random=lambda: 0
            )
            assert isinstance(decision, RetryLater)
            assert decision.attempt == 1
            delays.append(decision.delay)
            task.schedule_retry(lease, decision, now=NOW)
        assert delays == [on_grid(seconds) for seconds in (5, 10, 20, 30, 30)]

    def test_what_a_gate_holds_back_waits_no_longer_than_others(self):
        """A creation that Replicate refuses waits at the gate, so its retry must be at hand."""
        decision = decided(Treatment.CONFIGURATION)
        assert isinstance(decision, RetryLater)
        assert decision.delay == POLICY.delay(1, lambda: 0)

    @pytest.mark.parametrize(
        "code", ["replicate_throttled", "replicate_payment_required", "replicate_unauthorized"]
    )
    def test_a_search_that_the_account_stops_uses_no_attempt_and_leaves_the_doubt(self, code):
        """The list cannot be looked at now, so nothing may be created, and nobody is to blame."""
        decision = decide(
            a_task(attempt=3),
            0,
            StepError(code, "find", "429"),
            POLICY,
            creating=True,
            now=NOW,
            random=lambda: 0,
        )
        assert isinstance(decision, RetryLater)
        assert (decision.attempt, decision.settled) == (3, [])

    @pytest.mark.parametrize(
        ("code", "step"),
        [
            ("template_unavailable", "template"),
            ("replicate_unreachable", "create"),
            ("create_ambiguous", "create"),
            ("create_failed", "create"),
            ("replicate_unavailable", "find"),
            ("replicate_unreachable", "poll"),
            ("output_unavailable", "download"),
            ("audio_unavailable", "audio"),
        ],
    )
    def test_an_outage_uses_no_attempt(self, code, step):
        """However often the service does not answer, also at the last attempt."""
        decision = decided_of(a_task(attempt=3), code, step)
        assert isinstance(decision, RetryLater)
        assert decision.attempt == 3

    @pytest.mark.parametrize(
        ("code", "step", "hours"),
        [
            ("audio_unavailable", "audio", 1000),
            ("audio_refused", "audio", 1000),
            ("replicate_unavailable", "poll", 0.9),
            ("output_unavailable", "download", 0.9),
            ("replicate_unreachable", "cancel", 0.9),
        ],
    )
    def test_what_is_paid_for_outlasts_its_deadline_while_a_service_is_away(
        self, code, step, hours
    ):
        """But for no longer than Replicate keeps what it spoke; the audio store is waited for."""
        late = a_task(deadline=-timedelta(hours=hours))
        assert isinstance(decided_of(late, code, step), GiveUp)
        late.segments[0].prediction_id = "p"
        assert isinstance(decided_of(late, code, step), RetryLater)
        later = a_task(deadline=-timedelta(hours=hours + 0.2))
        later.segments[0].prediction_id = "p"
        waits = isinstance(decided_of(later, code, step), RetryLater)
        assert waits is (step == "audio")

    def test_retry_after_is_honoured_but_not_without_bound(self):
        """The other side's wish lengthens the delay, up to a cap."""
        asked = decided(Treatment.THROTTLED, retry_after=30)
        absurd = decided(Treatment.THROTTLED, retry_after=86_400)
        assert isinstance(asked, RetryLater)
        assert isinstance(absurd, RetryLater)
        assert asked.delay == on_grid(30)
        assert absurd.delay == on_grid(RETRY_AFTER_CAP_SECONDS)

    def test_an_ambiguous_creation_stays_in_doubt(self):
        """The next attempt has to look for the prediction before it makes another."""
        decision = decided(Treatment.AMBIGUOUS)
        assert isinstance(decision, RetryLater)
        assert decision.settled == []

    @pytest.mark.parametrize("treatment", list(Treatment))
    def test_only_the_refusal_of_a_creation_settles_it(self, treatment):
        """A template that fails while a creation is in doubt leaves the doubt."""
        assert decided(treatment, creating=False).settled == []
        refused = treatment is not Treatment.AMBIGUOUS
        assert decided(treatment, creating=True).settled == ([0] if refused else [])

    def test_a_lost_prediction_is_replaced_at_most_twice(self):
        """A prediction that is of no use is given up; the third one is the last."""
        task = a_task()
        failure = StepError("prediction_lost", "poll", "gone")
        task.segments[0].creations = 1
        decision = decide(task, 0, failure, POLICY, creating=False, now=NOW, random=lambda: 0)
        assert decision.abandoned == [0]
        assert isinstance(decision, RetryLater)
        task.segments[0].creations = MAX_CREATIONS
        assert isinstance(
            decide(task, 0, failure, POLICY, creating=False, now=NOW, random=lambda: 0), GiveUp
        )

    def test_a_retry_that_would_come_after_the_deadline_is_a_failure_now(self):
        """It says that time ran out, and what the last failure was."""
        decision = decided(Treatment.THROTTLED, deadline=timedelta(milliseconds=500))
        assert isinstance(decision, GiveUp)
        assert decision.error.code == "deadline_exceeded"
        assert decision.error.step == "deadline"
        assert "replicate_throttled at create" in decision.error.message


class TestDelays:
    @given(st.floats(min_value=0, max_value=7200))
    def test_the_grid_never_shortens_a_delay_and_is_stable(self, seconds):
        """Rounding goes up, by a quarter at most, and a value on the grid stays."""
        rounded = on_grid(seconds)
        assert max(seconds, 0.1) - 1e-6 <= rounded <= max(seconds, 0.1) * 1.25 + 1e-6
        assert on_grid(rounded) == rounded

    def test_the_grid_is_coarse(self):
        """A broker needs one queue per delay: an hour has some sixty of them."""
        assert len({on_grid(ms / 1000) for ms in range(1, 3_600_000, 7)}) < 70

    @given(st.integers(1, 500), st.floats(0, 0.999), st.sampled_from(["none", "proportional"]))
    def test_the_maximum_bounds_every_delay(self, attempt, drawn, jitter):
        """Neither the exponent nor the jitter gets past it, but for the grid's rounding."""
        policy = RetryPolicy(initial=1, multiplier=2, maximum=300, jitter=jitter)
        assert 1 <= policy.delay(attempt, lambda: drawn) <= on_grid(300)

    def test_full_jitter_spreads_from_nothing_to_the_exponential_value(self):
        """The draw scales the whole delay."""
        policy = RetryPolicy(initial=8, multiplier=2, maximum=300, jitter="full")
        assert policy.delay(1, lambda: 0.0) == 0.1
        assert policy.delay(1, lambda: 0.5) == on_grid(4)

    def test_full_jitter_is_even(self):
        """Of many tasks that failed at once, each tenth of the time sees about a tenth again."""
        policy = RetryPolicy(initial=1000, multiplier=2, maximum=10_000, jitter="full")
        draws = Random(7)
        delays = [policy.delay(2, draws.random) for _ in range(20_000)]
        assert sum(delays) / len(delays) == pytest.approx(1000 * 1.11, rel=0.03)  # the grid adds
        for bound in (204.8, 409.6, 819.2, 1638.4):  # on the grid: nothing is rounded past them
            under = sum(delay <= bound for delay in delays) / len(delays)
            assert under == pytest.approx(bound / 2000, abs=0.02)
        assert max(delays) <= on_grid(2000)

    def test_full_jitter_never_gets_past_the_maximum(self):
        """However many attempts there were, and whatever is drawn."""
        policy = RetryPolicy(initial=1, multiplier=2, maximum=300, jitter="full")
        draws = Random(7)
        delays = [policy.delay(attempt, draws.random) for attempt in range(1, 2001)]
        assert 290 < max(delays) <= on_grid(300)
