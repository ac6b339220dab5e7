"""The independent checker: what must hold of a run, whatever happened in it.

It shares no code with the service: the rules are written down here a second time, over the log as
SQL shows it, the sandbox's journal and what the readers of the streams have seen. Every rule
answers with sentences; none is good news.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from tests.chaos.app import Accepted, Reader
from tests.chaos.evidence import Entry

STATUSES = {
    "requested": "starting",
    "queued": "queued",
    "dequeued": "dequeued",
    "processing_started": "processing",
    "prediction_created": "prediction_created",
    "download_started": "downloading",
    "download_completed": "download_complete",
    "succeeded": "succeeded",
    "retry_scheduled": "waiting_retry",
    "retry_started": "retrying",
    "retry_requested": "retrying",
    "failed": "failed",
    "cancel_requested": "canceling",
    "canceled": "canceled",
}
FINAL = {"succeeded", "failed", "canceled"}
LOST = {"prediction_lost", "prediction_expired", "output_missing"}

Tasks = Mapping[str, list[Entry]]


def by_task(log: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Each task's own events, in order."""
    tasks: dict[str, list[Entry]] = defaultdict(list)
    for entry in log:
        tasks[entry.task_id].append(entry)
    return tasks


def nothing_lost_or_invented(
    tasks: Tasks, accepted: Mapping[str, Accepted], texts: Mapping[str, str]
) -> list[str]:
    """The log has the tasks that were accepted, with their words, and no other."""
    found = [
        f"task {t} was accepted, and the log has no trace of it" for t in accepted - tasks.keys()
    ]
    found += [f"task {t} is in the log, and nobody was told" for t in tasks.keys() - accepted]
    found += [
        f"task {t} was to say {a.text!r}, not {texts.get(t)!r}"
        for t, a in accepted.items()
        if texts.get(t) != a.text
    ]
    return found


def final_exactly_once(tasks: Tasks, wanted: Mapping[str, Collection[str]]) -> list[str]:
    """Each task ended as it should: once, or once after each manual retry; nothing came after."""
    found = []
    for task_id, entries in tasks.items():
        kinds = [entry.kind for entry in entries]
        if [entry.version for entry in entries] != list(range(1, len(entries) + 1)):
            found.append(f"task {task_id} has a hole in its versions: {kinds}")
        ends = [n for n, kind in enumerate(kinds) if kind in FINAL]
        found += [
            f"task {task_id} went on after its end: {kinds}"
            for n in ends[:-1]
            if (kinds[n], kinds[n + 1]) != ("failed", "retry_requested")
        ]
        if not ends or ends[-1] != len(kinds) - 1:
            found.append(f"task {task_id} is stuck: {kinds}")
        elif kinds[-1] not in wanted[task_id]:
            found.append(f"task {task_id} ended {kinds[-1]}: {_why(entries)}")
    return found


def cancellations_obeyed(tasks: Tasks) -> list[str]:
    """A cancellation that was accepted ends the task, and nothing else does."""
    found = []
    for task_id, entries in tasks.items():
        kinds = [entry.kind for entry in entries]
        if ("cancel_requested" in kinds) != (kinds[-1] == "canceled"):
            found.append(f"task {task_id} was (not) canceled: {kinds}")
    return found


def paid_once(
    tasks: Tasks,
    texts: Mapping[str, str],
    journal: Mapping[str, Mapping[str, Any]],
    *,
    lost: int = 0,
) -> list[str]:
    """Every prediction belongs to one task, and a task's second one replaces one that was no good.

    ``lost`` is how often Replicate denied a prediction that was there.
    """
    found: list[str] = []
    owners: dict[str, str] = {}
    denied = 0
    for task_id, entries in tasks.items():
        for prediction in _predictions(entries):
            found += _recorded(task_id, prediction, texts, journal, owners)
            owners[prediction] = task_id
        given_up, twice = _replaced(entries)
        found += [f"task {task_id} has two predictions: {both}" for both in twice]
        for prediction, code in given_up:
            if prediction in journal and _good(journal[prediction]):
                denied += 1
                if code not in LOST:
                    found.append(f"task {task_id} gave a good prediction up: {code}")
    if denied > lost:
        found.append(f"{denied} good predictions were given up, and Replicate denied {lost}")
    # A cancellation stops what it finds in the list and has no need to record it.
    canceled = [texts[task_id] for task_id, entries in tasks.items() if _was_canceled(entries)]
    for prediction, record in journal.items():
        said = record["input"]["tts_text"]
        if prediction not in owners and not any(said in text for text in canceled):
            found.append(f"prediction {prediction} for {said!r} was paid for and forgotten")
    return found


def nothing_runs(journal: Mapping[str, Mapping[str, Any]], *, now: float) -> list[str]:
    """Nothing that costs money is left behind."""
    return [
        f"prediction {prediction} for {record['input']['tts_text']!r} still runs"
        for prediction, record in journal.items()
        if not record["canceled"] and (record["ends_at"] is None or record["ends_at"] > now)
    ]


def streams_complete(log: list[Entry], readers: Mapping[str, Reader]) -> list[str]:
    """Each reader has seen every event of the log, once, in order, and with the right status."""
    truth = [(entry.position, entry.task_id, STATUSES[entry.kind]) for entry in log]
    found = []
    for name, reader in readers.items():
        found += [f"reader {name} was told to reset: {reset}" for reset in reader.resets]
        if reader.seen == truth:
            continue
        missing = sorted(set(truth) - set(reader.seen))
        extra = sorted(set(reader.seen) - set(truth))
        twice = [update for update, n in Counter(reader.seen).items() if n > 1]
        found.append(
            f"reader {name} has missed {len(missing)} events (first {missing[:1]}), "
            f"made up {len(extra)} ({extra[:1]}), got {len(twice)} twice ({twice[:1]}), "
            f"in order: {reader.seen == sorted(reader.seen)}"
        )
    return found


def _predictions(entries: list[Entry]) -> list[str]:
    return [e.state["prediction_id"] for e in entries if e.kind == "prediction_created"]


def _replaced(entries: list[Entry]) -> tuple[list[tuple[str, str]], list[str]]:
    """The predictions that were given up, each with the reason, and those that never were."""
    live: dict[int, str] = {}
    given_up, twice = [], []
    for entry in entries:
        state = entry.state
        if entry.kind == "prediction_created":
            if state["segment"] in live:
                twice.append(f"{live[state['segment']]}, {state['prediction_id']}")
            live[state["segment"]] = state["prediction_id"]
        elif entry.kind in {"retry_scheduled", "failed"}:
            given_up += [
                (live.pop(segment), state["code"])
                for segment in state["abandoned"]
                if segment in live
            ]
    return given_up, twice


def _recorded(
    task_id: str,
    prediction: str,
    texts: Mapping[str, str],
    journal: Mapping[str, Mapping[str, Any]],
    owners: Mapping[str, str],
) -> list[str]:
    if prediction in owners:
        return [f"prediction {prediction} is {owners[prediction]}'s, and {task_id} has it too"]
    if prediction not in journal:
        return [f"task {task_id} has a prediction that was never made: {prediction}"]
    said = journal[prediction]["input"]["tts_text"]
    if said not in texts[task_id]:
        return [f"task {task_id} says {texts[task_id]!r}, its prediction {said!r}"]
    return []


def _good(record: Mapping[str, Any]) -> bool:
    """Whether there was speech to be had; Replicate may remove an output at once."""
    kept = record["output"] != "none" and record["retention_seconds"] > 0
    return record["final"] == "succeeded" and not record["canceled"] and kept


def _was_canceled(entries: list[Entry]) -> bool:
    return any(entry.kind == "cancel_requested" for entry in entries)


def _why(entries: list[Entry]) -> str:
    state = entries[-1].state
    kinds = " ".join(entry.kind for entry in entries)
    return f"{state.get('code')} at {state.get('step')}: {state.get('message')} ({kinds})"
