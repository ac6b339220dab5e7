"""What a processor appends is counted, and timed by the times of the events themselves."""

from datetime import timedelta
from random import Random
from uuid import UUID

from prometheus_client import REGISTRY

from tests.builders import NOW, complete, download, fail, record, start, succeed
from tests.histories import new_task, stored
from tts.domain.failures import TABLE
from tts.domain.task import Task
from tts.domain.values import RetryLater, TaskError
from tts.observability.metrics.registries import PROCESS, PROCESSOR, show
from tts.observability.metrics.tasks import witness
from tts.ports.log import Recorded

show(PROCESS, PROCESSOR)
CODE = "prediction_lost"  # of the table


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class Watched:
    """A task in the hands of one worker; what is counted since is told by ``gained``."""

    def __init__(self, segments: int = 1) -> None:
        self.task: Task = new_task(Random(segments), segments=segments)
        self.history: list[Recorded] = []
        self._keep(stored(self.task))
        self.take_up()

    def take_up(self) -> None:
        """Begin another run, as another worker does that reads the log."""
        self._see = witness(self.history)

    def do(self, command, *args, after: float, **facts) -> None:
        """Append what the command decides, so many seconds after the request."""
        command(*args, now=NOW + timedelta(seconds=after), **facts)
        self._see(self._keep(stored(self.task)))

    def _keep(self, events):
        for event in events:
            self.history.append(
                Recorded(
                    len(self.history) + 1,
                    UUID(str(event.originator_id)),
                    event.originator_version,
                    event.topic,
                    event.state,
                )
            )
        return events


def gained(before: dict, name: str, **labels: str) -> float:
    return round(value(name, **labels) - before.get((name, *labels.values()), 0.0), 9)


def everything() -> dict:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for registry in (PROCESS, PROCESSOR)
        for family in registry.collect()
        for sample in family.samples
    }


def test_a_task_is_counted_once_with_its_stages():
    """Whoever did which part of it: the times are those of the log."""
    before, its = everything(), Watched()
    task = its.task
    its.do(task.claim, worker="w1", after=2)
    its.do(start, task, after=3)
    its.do(record, task, after=7)
    its.take_up()  # the first worker died
    its.do(task.claim, worker="w2", after=8)
    its.do(download, task, after=10, predict_time=2.5)
    its.do(complete, task, after=10.5)
    its.do(succeed, task, after=11, duration=4.0)

    assert gained(before, "tts_tasks_finished_total", outcome="succeeded") == 1
    assert gained(before, "tts_task_seconds_sum", outcome="succeeded") == 11
    assert gained(before, "tts_queue_wait_seconds_count", priority="normal") == 1
    assert gained(before, "tts_queue_wait_seconds_sum", priority="normal") == 2
    stages = {"create": 4, "predict": 3, "download": 0.5, "store": 0.5}
    for stage, seconds in stages.items():
        assert gained(before, "tts_stage_seconds_sum", stage=stage) == seconds
    assert gained(before, "tts_first_audio_seconds_sum") == 11
    assert gained(before, "tts_predictions_total") == 1
    assert gained(before, "tts_predict_seconds_total") == 2.5
    assert gained(before, "tts_audio_seconds_total") == 4


def test_a_long_text_is_heard_with_its_first_part():
    """That is when a person stops waiting; each segment has stages of its own."""
    before, its = everything(), Watched(segments=2)
    task = its.task
    its.do(task.claim, worker="w1", after=1)
    its.do(start, task, after=1, segments=[0, 1])
    for n in (0, 1):
        its.do(record, task, n, after=2 + n)
        its.do(download, task, n, after=4 + n, predict_time=1.0)
        its.do(complete, task, n, after=5 + n, part=f"part-{n}")
    its.do(succeed, task, after=9)
    assert gained(before, "tts_first_audio_seconds_count") == 1
    assert gained(before, "tts_first_audio_seconds_sum") == 5
    assert gained(before, "tts_stage_seconds_count", stage="predict") == 2
    assert gained(before, "tts_stage_seconds_sum", stage="store") == 3


def test_an_output_that_is_fetched_again_is_billed_once():
    """Its download is begun anew, perhaps by another worker; Replicate bills the prediction."""
    before, its = everything(), Watched()
    task = its.task
    its.do(task.claim, worker="w1", after=1)
    its.do(start, task, after=1)
    its.do(record, task, after=1)
    its.do(download, task, after=2, predict_time=2.5)
    its.take_up()
    its.do(download, task, after=3, predict_time=2.5)
    assert gained(before, "tts_predict_seconds_total") == 2.5


def test_retries_and_failures_are_counted_by_their_code():
    """A person's retry begins a new round, whose time counts from there."""
    before, its = everything(), Watched()
    task = its.task
    its.do(task.claim, worker="w1", after=1)
    later = RetryLater(TaskError(CODE, "poll", "message"), 2, delay=5.0)
    its.do(task.schedule_retry, 1, later, after=3)
    its.do(fail, task, CODE, after=20)
    its.do(task.request_retry, by="me", reason="", deadline_at=NOW + timedelta(hours=2), after=100)
    its.do(task.claim, worker="w1", after=104)
    its.do(fail, task, CODE, after=130)
    assert gained(before, "tts_retries_total", code=CODE) == 1
    assert gained(before, "tts_tasks_failed_total", code=CODE) == 2
    assert gained(before, "tts_task_seconds_sum", outcome="failed") == 20 + 30
    assert gained(before, "tts_queue_wait_seconds_sum", priority="normal") == 1 + 4


def test_all_outcomes_and_codes_are_there_from_the_start():
    """With bounded labels: as many series as the table has codes."""
    shown = {key for key in everything() if key[0] == "tts_tasks_failed_total"}
    assert shown == {("tts_tasks_failed_total", code) for code, _ in TABLE}
    for outcome in ("succeeded", "failed", "canceled"):
        assert ("tts_tasks_finished_total", outcome) in everything()
