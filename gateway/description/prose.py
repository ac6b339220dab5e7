"""The protocols of ``/events`` and ``/ws`` in words, for the API's description."""

SSE = """\
One stream carries what happened and then what happens, in order, with no gap and no duplicate.

```
curl -N "{base}/events?taskId=<taskId>"
```

```
retry: 2000
id: 41
event: connected
data: {"clientId":"…","timestamp":"…","position":41,"heartbeatInterval":15000}

id: 42
event: task_update
data: {"taskId":"…","status":"succeeded","timestamp":"…","position":42,"audioUrl":"…"}

id: 57
event: heartbeat
data: {"timestamp":"…","position":57}
```

- `connected` is the first event. Its `position` is where the stream starts, `heartbeatInterval` the
  milliseconds from one heartbeat to the next.
- `task_update` is one event of a task (schema `TaskUpdate`). Its `id` is its position in the log.
- `heartbeat` comes at that interval. A stream that is silent for two and a half of them is dead:
  connect again. Its `id` is how far this stream has come; nothing up to it is still to be sent.
- `reset` says that the stream cannot go on from where you asked (`reason`: `unknown`, `future`,
  `too_old`, or `archived`, when some of it has left the log); it goes on after `position`. Fetch
  what you missed from `/api/tts/tasks`.

Reconnect with the last `id`, of whatever event, as `Last-Event-ID`, days later and to any gateway,
and nothing is missed; `EventSource` in browsers does so by itself. A stream of named tasks resumes
however old the `id` is. A stream of all tasks of one owner, as every `app` key's is, does while at
most SSE_REPLAY_LIMIT events (10000 unless configured) have happened to that owner's tasks since.
A stream of everybody's tasks does while as many have happened at all: a few minutes of being
offline under load. Then expect a `reset`. While connected, heartbeats keep the `id` fresh even if
nothing concerns you.

A reader that falls far behind is cut off and resumes in the same way. Take a snapshot and follow
it: `GET /api/tts/task/{taskId}`, then `/events?taskId=…&from=<position>`.

Statuses, in the usual order: `starting`, `queued`, `dequeued`, `processing`, `prediction_created`,
`downloading`, `download_complete`, `succeeded`. After a failure: `waiting_retry`, `retrying`, and
in the end `failed`. After a cancellation: `canceling`, `canceled`. The last ones of each are final,
save for `failed`, from which `POST /api/tts/retry` leads on.

Long texts: what the model cannot speak at once (SEGMENT_MAX_CHARS: 80 characters, or tokens where
none is Chinese, with numbers read out) is spoken in parts, several at once. From `processing` to
`download_complete` its updates have `segments`, how many parts there are, and `segment`, which one
it is, from 0 on; parts may be done in any order.
`download_complete` has the part's `partialAudioUrl`: play these in the order of `segment` while
the rest is being spoken (`audioParts()` of `/client/SSEClient.js` and `audio_parts()` of the
Python client hand them out so), and the whole from `audioUrl` of `succeeded`. Parts are kept for a
day. They are plain WAV files, whatever the `format` of the whole, because `HTMLAudioElement`,
expo-av, AVPlayer and ExoPlayer play those everywhere without a library; an HLS playlist would need
its audio as AAC in TS or fMP4, and hls.js on Chrome and Firefox.
"""

TOKENS = """\
`EventSource`, `WebSocket` and `<audio>` cannot send an `Authorization` header. They carry a token
in the query instead, which can do less than the key that it was made with, and ends soon:

- `{}` or `{"scope": "stream"}`: opens `/events?token=…` and `/ws?token=…`, to follow tasks.
- `{"scope": "command"}`: opens them, too, and `/ws` then takes `generate`, `retry` and `cancel`.
  It needs a key that may command.
- `{"scope": "audio", "object": "audio-….wav"}`: opens `/audio/audio-….wav?token=…` and no other
  audio. `object` is the last part of the audio's URL, without a query.

A token opens nothing else. What it has opened ends at `expiresAt`: a stream with a comment that
says why (and 401 if it comes back with the old token), a WebSocket with code 1008. Get a new token
before, and go on from the last `id`: nothing is missed. `/client/SSEClient.js` does so by itself.
"""

WEBSOCKET = """\
Who asks is said by the header `Authorization: Bearer <key>`, by `?token=…` (which only reads,
unless it was asked for with the scope `command`), or by the first message, which has five seconds
to come:

```
> {"type": "authenticate", "id": 0, "key": "tts_…"}
< {"type": "connected", "data": {"clientId": "…", "position": 41, …}}
< {"type": "ack", "id": 0, "data": {"expiresAt": null}}
```

The connection is closed with 1008 when its key or token ends. `authenticate` may come again: with
the next `token`, so that the connection goes on, or with a `key`, so that it may command.

Messages are JSON objects, one in each text frame. Yours have a `type`, and an `id` of your choice
(a string or a number), which comes back in the answer: an `ack` with `data`, or an `error` with
`error` and `code` as HTTP has them.

```
> {"type": "subscribe", "id": 1, "taskIds": ["…"], "from": "start"}
< {"type": "ack", "id": 1, "data": {"taskIds": ["…"], "position": 0}}
< {"type": "task_update", "data": {"taskId": "…", "status": "starting", "position": 42, …}}
> {"type": "generate", "id": 2, "templateId": "template1", "tts_text": "你好"}
< {"type": "ack", "id": 2, "data": {"taskId": "…", "status": "started", "position": 43, …}}
```

- `subscribe`: `taskIds`, or everything of your own without it; `from` is `now`, `start` or a
  position, and `lastEventId` is the `position` of the last update that you have.
- `unsubscribe`: `taskIds`, or everything without it.
- `generate`, `retry` and `cancel` have the fields of the bodies of `POST /api/tts`,
  `POST /api/tts/retry` and `POST /api/tts/cancel`; `generate` may have an `idempotencyKey`.
- `ping` is answered by `pong`.

The service says `connected` first (nothing is subscribed yet), `task_update` (schema `TaskUpdate`)
for what you subscribed to, `heartbeat` every `heartbeatInterval` milliseconds (`connected` says how
many), and `reset` as `/events` does. A client that answers no ping of the protocol, or never reads,
is dropped. Reconnect and subscribe with the last position as `lastEventId`, be it that of an update
or of a heartbeat after the `ack`: nothing is missed.
"""
