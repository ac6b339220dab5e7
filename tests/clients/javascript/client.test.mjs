/** The client's promises, each against a scripted service. Run: node --test tests/clients/javascript */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { afterEach, describe, it } from "node:test";

import { EventSource } from "eventsource";

import { TTSEventClient, TTSError } from "../../../gateway/static/SSEClient.mjs";
import { answer, connected, data, heartbeat, reset, RETRY_SOON, serve, stream, update } from "./scripted.mjs";

const cleanUp = [];
afterEach(() => {
  while (cleanUp.length) cleanUp.pop()();
});

/** A client on a service with these routes; `heard` collects what it emits. */
async function open(routes, options = {}) {
  const service = await serve(routes);
  const client = new TTSEventClient({
    baseUrl: service.url,
    EventSource,
    minReconnectDelay: 20,
    maxReconnectDelay: 100,
    ...options,
  });
  const heard = [];
  for (const type of ["task_update", "open", "reconnecting", "error", "reset", "close"]) {
    client.addEventListener(type, (value) => heard.push([type, value]));
  }
  cleanUp.push(service.close, () => client.close());
  const updates = () => heard.filter(([type]) => type === "task_update").map(([, value]) => value);
  const types = () => heard.map(([type]) => type);
  return { client, service, updates, types };
}

async function until(condition, what) {
  const deadline = Date.now() + 30_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const positions = (updates) => updates.map(({ position }) => position);

describe("the stream", () => {
  it("hands out each update once, in order", async () => {
    const { client, updates } = await open({
      "GET /events": (_, response) =>
        stream(response, connected(0), ...[1, 2, 2, 1, 3].map((n) => update(n, "queued"))),
    });
    await client.connect();
    await until(() => client.position === 3, "position 3");
    assert.deepEqual(positions(updates()), [1, 2, 3]);
  });

  it("resumes after the last update when the connection ends", async () => {
    const { client, service, updates, types } = await open({
      "GET /events": (_, response, nth) => {
        stream(response, RETRY_SOON, connected(nth === 1 ? 0 : 2), update(nth + 1, "queued"));
        if (nth === 1) response.end();
      },
    });
    await client.connect();
    await until(() => client.position === 3, "position 3");
    assert.deepEqual(positions(updates()), [2, 3]);
    assert.equal(service.asked("GET /events")[1].headers["last-event-id"], "2");
    assert.deepEqual(types(), ["open", "task_update", "error", "reconnecting", "open", "task_update"]);
  });

  it("connects again by itself, ever more slowly, where EventSource gives up", async () => {
    const delays = [];
    const { client, service } = await open({
      "GET /events": (_, response, nth) =>
        nth < 4 ? answer(response, 503, {}) : stream(response, connected(7)),
    });
    client.addEventListener("reconnecting", ({ delay }) => delays.push(delay));
    await client.connect();
    assert.equal(client.state, "open");
    assert.equal(service.asked("GET /events").length, 4);
    assert.equal(delays.length, 3);
    delays.forEach((delay, n) => assert.ok(delay >= 10 * 2 ** n && delay <= 20 * 2 ** n, `${delays}`));
  });

  it("gives up a connection on which no heartbeat comes", async () => {
    const options = { heartbeatInterval: 400 };
    const { client, service } = await open(
      { "GET /events": (_, response, nth) => stream(response, connected(nth)) },
      options,
    );
    await client.connect();
    await until(() => service.asked("GET /events").length >= 2, "a second connection");
    assert.equal(service.asked("GET /events")[1].query.get("lastEventId"), "1");
  });

  it("takes from the service how often a heartbeat is to come", async () => {
    const { client, service } = await open({
      "GET /events": (_, response, nth) =>
        stream(response, connected(nth, { heartbeatInterval: 40 })),
    });
    await client.connect();
    await until(() => service.asked("GET /events").length >= 2, "a second connection");
  });

  it("resumes after a heartbeat that has an id", async () => {
    const { client, service, updates } = await open({
      "GET /events": (_, response, nth) => {
        stream(response, RETRY_SOON, connected(nth === 1 ? 0 : 50));
        if (nth === 1) return response.end(update(3, "queued") + heartbeat(50));
        if (nth === 2) response.write(update(51, "dequeued") + heartbeat());
      },
    });
    await client.connect();
    await until(() => client.position === 51, "position 51");
    assert.deepEqual(positions(updates()), [3, 51]);
    assert.equal(service.asked("GET /events")[1].headers["last-event-id"], "50");
    client.close();
    await client.connect();
    assert.equal(service.asked("GET /events")[2].query.get("lastEventId"), "51");
  });

  it("starts where an earlier client stopped, and follows the tasks it is told to", async () => {
    const { client, service } = await open(
      { "GET /events": (_, response) => stream(response, connected(5)) },
      { lastEventId: 5, taskId: ["a", "b c"] },
    );
    await client.connect();
    const { query } = service.asked("GET /events")[0];
    assert.deepEqual([query.getAll("taskId"), query.get("lastEventId")], [["a", "b c"], "5"]);
  });

  it("is taken up again by connect() after close()", async () => {
    const { client, service, types } = await open({
      "GET /events": (_, response, nth) => stream(response, connected(0), update(nth, "queued")),
    });
    await client.connect();
    await until(() => client.position === 1, "position 1");
    client.close();
    assert.equal(client.state, "closed");
    await client.connect();
    await until(() => client.position === 2, "position 2");
    assert.equal(service.asked("GET /events")[1].query.get("lastEventId"), "1");
    assert.ok(types().includes("close"));
  });

  it("reads unfinished tasks again after a reset, and shows nothing older afterwards", async () => {
    let live;
    const { client, updates } = await open({
      "GET /events": (_, response, nth) => {
        stream(response, RETRY_SOON, connected(nth === 1 ? 0 : 50));
        if (nth === 1) return response.end(update(1, "queued") + update(2, "queued", "done") + update(3, "failed", "done"));
        live = response;
        response.write(reset(50));
      },
      "GET /api/tts/task/t": (_, response) =>
        data(response, { taskId: "t", status: "downloading", position: 60, updatedAt: "now" }),
    });
    await client.connect();
    await until(() => updates().length === 4, "the snapshot");
    live.write(update(55, "dequeued") + update(61, "succeeded"));
    await until(() => client.position === 61, "position 61");
    assert.deepEqual(positions(updates()), [1, 2, 3, 60, 61]);
    assert.deepEqual([updates()[3].snapshot, updates()[3].timestamp], [true, "now"]);
  });

  it("shows nothing older after a task's end, however late what was read after a reset arrives", async () => {
    let live;
    let answered = false;
    const { client, updates } = await open({
      "GET /events": (_, response, nth) => {
        stream(response, RETRY_SOON, connected(nth === 1 ? 0 : 50));
        if (nth === 1) return response.end(update(1, "queued"));
        live = response;
        response.write(reset(50) + update(60, "succeeded"));
      },
      "GET /api/tts/task/t": (_, response) =>
        setTimeout(() => {
          data(response, { taskId: "t", status: "downloading", position: 50, updatedAt: "now" });
          answered = true;
        }, 200),
    });
    await client.connect();
    await until(() => answered && live, "the answer");
    await new Promise((resolve) => setTimeout(resolve, 50));
    live.write(update(70, "queued", "u"));
    await until(() => client.position === 70, "position 70");
    assert.deepEqual(positions(updates()), [1, 60, 70]);
  });

  it("shows after a reset what updates would have said: erased, dismissed, and no audio", async () => {
    const { client, updates } = await open({
      "GET /events": (_, response, nth) => {
        stream(response, RETRY_SOON, connected(nth === 1 ? 0 : 50));
        if (nth === 1) return response.end(update(1, "queued"));
        response.write(reset(50));
      },
      "GET /api/tts/task/t": (_, response) =>
        data(response, { taskId: "t", status: "failed", position: 60, updatedAt: "now", audioUrl: null, dismissedAt: "then", erasedAt: "now" }),
    });
    await client.connect();
    await until(() => updates().length === 2, "the snapshot");
    const { erased, dismissed, ...snapshot } = updates()[1];
    assert.deepEqual([erased, dismissed, "audioUrl" in snapshot], [true, true, false]);
  });

  it("needs an EventSource, and says where to get one", async () => {
    const client = new TTSEventClient({ EventSource: undefined });
    await assert.rejects(client.connect(), { code: "no_event_source", message: /npm/ });
  });
});

describe("tokens", () => {
  const token = (response, name, seconds) =>
    data(response, { token: name, expiresAt: new Date(Date.now() + seconds * 1000).toISOString() });

  it("are made with the key for each connection, so that a refused one is replaced", async () => {
    const { client, service } = await open(
      {
        "POST /api/stream-token": (_, response, nth) => token(response, `token ${nth}`, 60),
        "GET /events": ({ query }, response) =>
          query.get("token") === "token 2" ? stream(response, connected(0)) : answer(response, 401, {}),
      },
      { apiKey: "key" },
    );
    await client.connect();
    const asked = service.asked("POST /api/stream-token");
    assert.deepEqual(asked.map(({ headers }) => headers.authorization), ["Bearer key", "Bearer key"]);
  });

  it("are renewed before a connection is tried with one that has expired", async () => {
    const { client, service } = await open(
      {
        "POST /api/stream-token": (_, response, nth) => token(response, `token ${nth}`, 5),
        "GET /events": (_, response, nth) => {
          stream(response, RETRY_SOON, connected(nth));
          if (nth === 1) response.end();
        },
      },
      { apiKey: "key" },
    );
    await client.connect();
    await until(() => service.asked("GET /events").length >= 2, "a second connection");
    const used = service.asked("GET /events").map(({ query }) => query.get("token"));
    assert.deepEqual(used, ["token 1", "token 2"]);
  });

  it("are renewed before they end, while the stream goes on: nothing is missed, nothing reported", async () => {
    const ends = [];
    const { client, service, updates, types } = await open(
      {
        "POST /api/stream-token": (_, response, nth) => token(response, `token ${nth}`, 1.5),
        "GET /events": ({ query }, response, nth) => {
          stream(response, connected(Number(query.get("lastEventId") ?? 0)), update(nth, "queued"));
          response.on("close", () => ends.push(nth));
        },
      },
      { apiKey: "key" },
    );
    await client.connect();
    await until(() => client.position >= 3, "the third stream");
    assert.equal(client.state, "open");
    assert.deepEqual(positions(updates()).slice(0, 3), [1, 2, 3]);
    assert.deepEqual(types().filter((type) => type !== "task_update"), ["open"]);
    const used = service.asked("GET /events").map(({ query }) => [query.get("token"), query.get("lastEventId")]);
    assert.deepEqual(used.slice(0, 3), [["token 1", null], ["token 2", "1"], ["token 3", "2"]]);
    await until(() => ends.includes(2), "the end of the streams before");
  });

  it("that cannot be renewed for a while leave the stream as it is", async () => {
    const { client, service, types } = await open(
      {
        "POST /api/stream-token": (_, response, nth) =>
          nth === 2 ? answer(response, 503, { success: false, code: "unavailable" }) : token(response, `token ${nth}`, 0.4),
        "GET /events": (_, response, nth) => {
          stream(response, RETRY_SOON, connected(0));
          if (nth === 1) setTimeout(() => response.end(), 400);
        },
      },
      { apiKey: "key" },
    );
    await client.connect();
    await until(() => service.asked("GET /events").length >= 2, "a second stream");
    await until(() => client.state === "open", "open again");
    assert.deepEqual(types().slice(0, 3), ["open", "error", "reconnecting"]);
  });

  it("for one audio are asked for by name", async () => {
    const { client, service } = await open(
      { "POST /api/stream-token": (_, response) => token(response, "a/b", 60) },
      { apiKey: "key" },
    );
    const audio = `${service.url}/audio/audio-1.wav`;
    assert.equal(await client.audioSource(audio), `${audio}?token=a%2Fb`);
    const [asked] = service.asked("POST /api/stream-token");
    assert.deepEqual(asked.body, { scope: "audio", object: "audio-1.wav" });
    for (const elsewhere of ["https://bucket.example/audio/a.wav?X-Amz-Signature=1", "https://bucket.example/audio/a.wav"]) {
      assert.equal(await client.audioSource(elsewhere), elsewhere);
    }
    assert.equal(service.asked("POST /api/stream-token").length, 1);
  });

  it("may come from the app's own backend, which may fail for a while", async () => {
    let calls = 0;
    const getToken = () => {
      calls += 1;
      if (calls === 1) throw new TypeError("backend is away");
      return "from the app";
    };
    const routes = { "GET /events": (_, response) => stream(response, connected(0)) };
    const { client, service } = await open(routes, { getToken });
    await client.connect();
    assert.equal(service.asked("GET /events")[0].query.get("token"), "from the app");
  });

  it("that are refused for good end the client with the reason", async () => {
    const refusal = { success: false, error: "the key was revoked", code: "unauthorized" };
    const { client, service, types } = await open(
      { "POST /api/stream-token": (_, response) => answer(response, 401, refusal) },
      { apiKey: "key" },
    );
    await assert.rejects(client.connect(), { code: "unauthorized", status: 401 });
    assert.deepEqual(types(), ["error", "close"]);
    assert.equal(service.asked("GET /events").length, 0);
  });
});

describe("waitFor", () => {
  const task = (status, position, more = {}) => ({ taskId: "t", status, position, ...more });
  const quiet = (_, response) => stream(response, connected(9));

  it("finds an end that came before anybody listened", async () => {
    const { client } = await open({
      "GET /events": quiet,
      "GET /api/tts/task/t": (_, response) => data(response, task("succeeded", 8, { audioUrl: "u" })),
    });
    assert.equal((await client.waitFor("t")).audioUrl, "u");
  });

  it("takes the end from the stream", async () => {
    let live;
    const { client } = await open({
      "GET /events": (_, response) => stream((live = response), connected(0)),
      "GET /api/tts/task/t": (_, response) => {
        data(response, task("queued", 2));
        live.write(update(3, "succeeded", "other") + update(4, "succeeded", "t", { audioUrl: "u" }));
      },
    });
    assert.equal((await client.waitFor("t")).audioUrl, "u");
  });

  it("does not take an end for news that came before a retry", async () => {
    let live;
    const { client } = await open({
      "GET /events": (_, response) => stream((live = response), connected(0), update(4, "failed")),
      "GET /api/tts/task/t": (_, response) => {
        data(response, task("retrying", 5));
        setTimeout(() => live.write(update(5, "retrying") + update(9, "succeeded")), 50);
      },
    });
    assert.equal((await client.waitFor("t")).position, 9);
  });

  it("rejects with the code and the message of a failure", async () => {
    const { client } = await open({
      "GET /events": quiet,
      "GET /api/tts/task/t": (_, response) =>
        data(response, task("failed", 8, { error: "no such template", code: "template_not_found" })),
    });
    const problem = { code: "template_not_found", message: "no such template", taskId: "t" };
    await assert.rejects(client.waitFor("t"), problem);
  });

  it("rejects for a task that is erased, before or meanwhile: there is nothing to play", async () => {
    let live;
    const { client } = await open({
      "GET /events": (_, response) => stream((live = response), connected(0)),
      "GET /api/tts/task/t": (_, response) =>
        data(response, task("succeeded", 8, { audioUrl: null, erasedAt: "then" })),
      "GET /api/tts/task/u": (_, response) => {
        data(response, task("queued", 2, { taskId: "u" }));
        live.write(update(9, "succeeded", "u", { erased: true }));
      },
    });
    for (const taskId of ["t", "u"]) {
      await assert.rejects(client.waitFor(taskId), { code: "task_erased", taskId });
    }
  });

  it("looks at the task itself while no stream can be had", async () => {
    const { client } = await open({
      "GET /events": (_, response) => answer(response, 503, {}),
      "GET /api/tts/task/t": (_, response, nth) =>
        nth === 1 ? answer(response, 503, {}) : data(response, task("succeeded", 8)),
    });
    assert.equal((await client.waitFor("t")).status, "succeeded");
  });

  it("ends by timeout, by signal, by close(), and for a task that does not exist", async () => {
    const { client } = await open({
      "GET /events": quiet,
      "GET /api/tts/task/t": (_, response) => data(response, task("queued", 1)),
    });
    await assert.rejects(client.waitFor("t", { timeout: 30 }), { code: "timeout", taskId: "t" });
    const abort = new AbortController();
    const aborted = assert.rejects(client.waitFor("t", { signal: abort.signal }), { code: "aborted" });
    abort.abort();
    await aborted;
    await assert.rejects(client.waitFor("unknown"), { code: "not_found", status: 404 });
    const closed = assert.rejects(client.waitFor("t"), { code: "closed" });
    client.close();
    await closed;
  });
});

describe("a service that lets no page of ours read its answers", () => {
  /** Fails as a browser does: what is sent arrives, what comes back is kept from the page. */
  const browser = (t, allowed = () => false) => {
    globalThis.location = { origin: "https://app.example", href: "https://app.example/" };
    t.after(() => delete globalThis.location);
    return async (url, init = {}) => {
      const answer = await fetch(url, { ...init, mode: undefined });
      if (init.mode !== "no-cors" && !allowed()) throw new TypeError("Failed to fetch");
      return answer;
    };
  };
  class Refused extends EventTarget {
    readyState = 2; // closed, as in Chromium
    constructor() {
      super();
      setTimeout(() => this.dispatchEvent(new Event("error")), 5);
    }
    close() {}
  }
  const health = { "GET /health": (_, response) => data(response, {}) };

  it("is an error of the stream and of each call, and is not asked again", async (t) => {
    const options = { fetch: browser(t), EventSource: Refused };
    const { client, service, types } = await open(health, options);
    await assert.rejects(client.connect(), { code: "cors", message: /app\.example.*CORS_ORIGINS/ });
    assert.equal(client.state, "closed");
    assert.deepEqual(types().slice(-2), ["error", "close"]);
    await assert.rejects(client.getTask("t"), { code: "cors", transient: false });
    const asked = service.asked("GET /health").length;
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.equal(service.asked("GET /health").length, asked);
  });

  it("is the end of a stream with a key, too", async (t) => {
    const { client } = await open(health, { fetch: browser(t), apiKey: "key" });
    await assert.rejects(client.connect(), { code: "cors" });
  });

  it("is not meant where the service is away, or the answers are for us", async (t) => {
    let there = true;
    const { client, service } = await open(health, { fetch: browser(t, () => there), EventSource: Refused });
    client.connect().catch(() => {});
    await until(() => service.asked("GET /health").length > 2, "some tries");
    assert.equal(client.state, "reconnecting");
    there = false;
    service.close();
    await assert.rejects(client.getTask("t"), { code: "no_answer", transient: true });
  });
});

describe("audioParts", () => {
  const task = (status, position, more = {}) => ({ taskId: "t", status, position, ...more });
  const part = (position, segment, more = {}) =>
    update(position, "download_complete", "t", { segment, segments: 3, partialAudioUrl: `u${segment}`, ...more });
  const whole = (position) => update(position, "succeeded", "t", { audioUrl: "whole" });
  const listeners = (client) => [...client._listeners.values()].reduce((sum, some) => sum + some.size, 0);

  /** A stream that says `frames` once the task was read as it stood. */
  async function speaking(standing, ...frames) {
    let live;
    const opened = await open({
      "GET /events": (_, response) => stream((live = response), connected(0)),
      "GET /api/tts/task/t": (_, response) => {
        data(response, standing);
        setTimeout(() => live.write(frames.join("")), 20);
      },
    });
    return { ...opened, say: (...more) => live.write(more.join("")) };
  }

  async function urls(client, options) {
    const heard = [];
    try {
      for await (const { url, segment, segments } of client.audioParts("t", options)) {
        heard.push(`${url} ${segment}/${segments}`);
      }
    } catch (error) {
      heard.push(error.code);
    }
    return heard;
  }

  it("keeps the order of the text whatever the order in which it is spoken", async () => {
    const { client } = await speaking(
      task("processing", 1, { segments: 3 }), part(4, 2), part(5, 0), part(6, 1), whole(9),
    );
    const before = listeners(client);
    assert.deepEqual(await urls(client), ["u0 0/3", "u1 1/3", "u2 2/3"]);
    assert.equal(listeners(client), before);
  });

  it("hands a part out as soon as it can be heard", async () => {
    const { client, say } = await speaking(task("processing", 1, { segments: 3 }), part(4, 2), part(5, 0));
    const parts = client.audioParts("t");
    assert.equal((await parts.next()).value.url, "u0");
    const second = parts.next();
    say(part(6, 1));
    assert.equal((await second).value.url, "u1");
    assert.equal((await parts.next()).value.url, "u2");
    say(whole(9));
    assert.equal((await parts.next()).done, true);
  });

  it("begins with the parts that were there before", async () => {
    const standing = task("downloading", 5, { segments: 3, partialAudioUrls: ["u0", "u1"] });
    const { client } = await speaking(standing, update(6, "downloading"), part(7, 2), whole(9));
    assert.deepEqual(await urls(client), ["u0 0/3", "u1 1/3", "u2 2/3"]);
  });

  it("misses no part between the look at the task and the opening of the stream", async () => {
    const { client, updates } = await open({
      "GET /events": (_, response) => stream(response, connected(6), part(7, 2)),
      "GET /api/tts/task/t": (_, response, nth) =>
        data(response, task("downloading", 6, { segments: 3, partialAudioUrls: ["u0", "u1"].slice(0, nth + 1) })),
    });
    const parts = client.audioParts("t");
    const heard = [];
    for (let n = 0; n < 3; n++) heard.push((await parts.next()).value.url);
    assert.deepEqual([heard, updates().length], [["u0", "u1", "u2"], 1]);
    await parts.return();
  });

  it("is the whole for a short text, and for one that was spoken before", async () => {
    const short = await speaking(task("processing", 1), update(4, "download_complete"), whole(5));
    assert.deepEqual(await urls(short.client), ["whole 0/1"]);
    const done = { segments: 2, partialAudioUrls: ["u0", "u1"], audioUrl: "whole" };
    const old = await speaking(task("succeeded", 9, done));
    assert.deepEqual(await urls(old.client), ["whole 0/1"]);
  });

  it("throws a failure after what could be heard", async () => {
    const failed = update(9, "failed", "t", { code: "prediction_failed", error: "no" });
    const { client } = await speaking(task("processing", 1, { segments: 3 }), part(4, 2), part(5, 0), failed);
    const before = listeners(client);
    assert.deepEqual(await urls(client), ["u0 0/3", "prediction_failed"]);
    assert.equal(listeners(client), before);
  });

  it("reads after a reset what the stream does not tell any more, however soon the end comes", async () => {
    const { client } = await open({
      "GET /events": (_, response, nth) => {
        if (nth === 1) return response.end(stream(response, RETRY_SOON, connected(0), part(4, 0)));
        stream(response, connected(50), reset(50), whole(60));
      },
      "GET /api/tts/task/t": (_, response, nth) => {
        const there = nth === 1 ? [] : ["u0", "u1", "u2"];
        const state = task("downloading", nth === 1 ? 1 : 50, { segments: 3, partialAudioUrls: there });
        // What was asked first is answered when the end is known, and what was asked then later still.
        setTimeout(() => data(response, state), nth > 3 ? 0 : nth > 1 ? 1_000 : 200);
      },
    });
    assert.deepEqual(await urls(client), ["u0 0/3", "u1 1/3", "u2 2/3"]);
  });

  it("gets over a service that does not answer for a while", async () => {
    const { client } = await open({
      "GET /events": (_, response) => stream(response, connected(0)),
      "GET /api/tts/task/t": (_, response, nth) =>
        nth < 3 ? answer(response, 503, {}) : data(response, task("succeeded", 8, { audioUrl: "whole" })),
    });
    assert.deepEqual(await urls(client), ["whole 0/1"]);
  });

  it("ends by timeout, by signal and by leaving the loop, and listens no longer then", async () => {
    const { client } = await speaking(task("processing", 1, { segments: 3 }), part(4, 0));
    const before = listeners(client);
    assert.deepEqual(await urls(client, { timeout: 1500 }), ["u0 0/3", "timeout"]);
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 150);
    assert.deepEqual((await urls(client, { signal: abort.signal })).at(-1), "aborted");
    assert.deepEqual(await urls(client, { signal: abort.signal }), ["aborted"]);
    await client.connect();
    const parts = client.audioParts("t");
    const waiting = parts.next();
    client._emit("task_update", { taskId: "t", segment: 0, segments: 3, partialAudioUrl: "u0" });
    await waiting;
    assert.ok(listeners(client) > before);
    await parts.return();
    await until(() => listeners(client) === before, "nobody listens any longer");
  });
});

describe("commands", () => {
  it("send what the service expects", async () => {
    const { client, service } = await open({
      "POST /api/tts": (_, response) => data(response, { taskId: "t", status: "started", position: 1 }),
      "POST /api/tts/retry": (_, response) => data(response, { taskId: "t", position: 2 }),
      "POST /api/tts/cancel": (_, response) => data(response, { taskId: "t", status: "canceled" }),
    }, { apiKey: "key" });
    const request = { templateId: "template1", tts_text: "你好" };
    await client.generateAudio({ ...request, priority: "high", format: "mp3", wait: true, idempotencyKey: "k" });
    await client.retryAudio({ taskId: "t", ...request });
    await client.cancel("t");
    const [generate] = service.asked("POST /api/tts");
    assert.deepEqual(generate.body, { ...request, priority: "high", format: "mp3" });
    assert.equal(generate.headers.prefer, "wait=60");
    assert.equal(generate.headers["idempotency-key"], "k");
    assert.equal(generate.headers.authorization, "Bearer key");
    assert.deepEqual(service.asked("POST /api/tts/retry")[0].body, { taskId: "t", ...request });
    assert.deepEqual(service.asked("POST /api/tts/cancel")[0].body, { taskId: "t" });
  });

  it("reject with the service's own words", async () => {
    const refusal = { success: false, error: "too many", code: "rate_limited", taskId: "t" };
    const { client } = await open({
      "POST /api/tts": (_, response) => answer(response, 429, refusal, { "Retry-After": "7" }),
    });
    const error = await client.generateAudio({}).catch((refused) => refused);
    assert.ok(error instanceof TTSError && error.transient);
    const told = [error.message, error.code, error.status, error.taskId, error.retryAfter];
    assert.deepEqual(told, ["too many", "rate_limited", 429, "t", 7]);
  });

  it("tell an absent service from one that answers nonsense", async () => {
    const { client, service } = await open({
      "POST /api/tts": (_, response) => response.writeHead(502).end("<html>"),
    });
    await assert.rejects(client.generateAudio({}), { code: "bad_answer", status: 502 });
    service.close();
    await assert.rejects(client.generateAudio({}), { code: "no_answer", status: undefined });
  });
});

describe("the file", () => {
  it("is a script: it defines a global, and require() returns the same", () => {
    const required = createRequire(import.meta.url)("../../../gateway/static/SSEClient.js");
    assert.equal(required.TTSEventClient, globalThis.TTSEventClient);
    assert.equal(required.TTSEventClient, TTSEventClient);
  });
});
