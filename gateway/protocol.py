"""The protocol of ``/events`` in words, for the API's description."""

SSE = """\
One stream carries what happened and then what happens, in order, with no gap and no duplicate.

```
curl -N "{base}/events?taskId=<taskId>"
```

```
retry: 2000
id: 41
event: connected
data: {"clientId":"…","timestamp":"…","position":41}

id: 42
event: task_update
data: {"taskId":"…","status":"succeeded","timestamp":"…","position":42,"audioUrl":"…"}

event: heartbeat
data: {"timestamp":"…","position":42}
```

- `connected` is the first event. Its `position` is where the stream starts.
- `task_update` is one event of a task (schema `TaskUpdate`). Its `id` is its position in the log.
- `heartbeat` comes now and then, without an `id`; a stream that is silent for much longer is dead.
- `reset` says that the stream cannot go on from where you asked (`reason`: `unknown`, `future` or
  `too_old`); it goes on after `position`. Fetch what you missed from `/api/tts/tasks`.

Reconnect with the last `id` as `Last-Event-ID`, days later and to any gateway, and nothing is
missed; `EventSource` in browsers does so by itself. A reader that falls far behind is cut off and
resumes in the same way. Take a snapshot and follow it: `GET /api/tts/task/{taskId}`, then
`/events?taskId=…&from=<position>`.

Statuses, in the usual order: `starting`, `queued`, `dequeued`, `processing`, `prediction_created`,
`downloading`, `download_complete`, `succeeded`. After a failure: `waiting_retry`, `retrying`, and
in the end `failed`. After a cancellation: `canceling`, `canceled`. The last ones of each are final,
save for `failed`, from which `POST /api/tts/retry` leads on.
"""
