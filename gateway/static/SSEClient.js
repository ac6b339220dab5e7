/**
 * Client of the text-to-speech service: commands over REST, every status as a server-sent event.
 *
 *   const client = new TTSEventClient({ baseUrl: "https://tts.example.com" });
 *   await client.connect();
 *   client.addEventListener("task_update", (update) => console.log(update.taskId, update.status));
 *   const { taskId } = await client.generateAudio({ templateId: "template1", tts_text: "你好" });
 *   const { audioUrl } = await client.waitFor(taskId, { timeout: 60_000 });
 *
 * A stream that breaks is opened again where it broke off: no update is missing, none comes twice.
 *
 * This file is a plain script, so that one file serves everybody without a build step: a <script>
 * tag, `import "./SSEClient.js"` and `require("./SSEClient.js")` all define the global
 * TTSEventClient, and `require` returns it as well. A script cannot contain `export`, so
 * SSEClient.mjs, three lines long, is there for `import { TTSEventClient } from "./SSEClient.mjs"`.
 * The types of all options, answers and events are in SSEClient.d.ts.
 */
(function () {
  "use strict";

  const STREAM_EVENTS = ["connected", "task_update", "heartbeat", "reset"];
  const FINAL = new Set(["succeeded", "failed", "canceled"]);
  const MISSED_HEARTBEATS = 2.5; // after that many intervals in silence a stream is given up
  const TOKEN_MARGIN_MS = 10_000; // a token that is this near to its end is not used again
  const LONGEST_TIMER_MS = 2 ** 31 - 1; // setTimeout takes a longer time for none at all
  const WAIT_SECONDS = 60; // what `wait: true` asks for; the server may allow less
  const CONNECTING = 0; // EventSource.readyState while it tries again by itself

  /** Why something was refused or did not work: `code` for machines, `message` for people. */
  class TTSError extends Error {
    constructor(message, { code, status, taskId, retryAfter, cause } = {}) {
      super(message);
      this.name = "TTSError";
      this.code = code;
      this.status = status;
      this.taskId = taskId;
      this.retryAfter = retryAfter;
      this.cause = cause;
    }

    /** Whether asking again later can help. */
    get transient() {
      return this.code === "no_answer" || this.status === 429 || this.status >= 500;
    }
  }

  class TTSEventClient {
    constructor(options = {}) {
      this._base = (options.baseUrl ?? "").replace(/\/+$/, "");
      this._apiKey = options.apiKey;
      this._getToken = options.getToken;
      this._EventSource = options.EventSource ?? globalThis.EventSource ?? TTSEventClient.EventSource;
      this._fetch = options.fetch ?? ((...args) => globalThis.fetch(...args));
      this._tasks = [options.taskId ?? []].flat();
      this._heartbeatInterval = options.heartbeatInterval ?? 15_000;
      this._minDelay = options.minReconnectDelay ?? 1_000;
      this._maxDelay = options.maxReconnectDelay ?? 30_000;
      this._listeners = new Map();
      this._unfinished = new Map(); // task id → position of its last update
      this._stale = new Set(); // tasks of which a reset has hidden something
      // Browsers say when the network comes and goes; a stream cannot tell that it is dead.
      this._network = {
        online: () => this._state === "reconnecting" && this._open(),
        offline: () => this._source && this._reconnect(new TTSError("offline", { code: "offline" })),
      };
      this._position = options.lastEventId === undefined ? undefined : Number(options.lastEventId);
      this._state = "closed";
      this._failures = 0;
    }

    /** "closed", "connecting", "open" or "reconnecting". */
    get state() {
      return this._state;
    }

    /** How far the stream has come; as `lastEventId` of a new client it resumes from there. */
    get position() {
      return this._position;
    }

    // --- listening

    addEventListener(type, listener) {
      if (!this._listeners.has(type)) this._listeners.set(type, new Set());
      this._listeners.get(type).add(listener);
    }

    removeEventListener(type, listener) {
      this._listeners.get(type)?.delete(listener);
    }

    // --- commands and queries

    async generateAudio({ wait, idempotencyKey, ...request }) {
      const { templateId, tts_text, instruction, priority, callback_url, format } = request;
      const headers = {};
      if (wait) headers.Prefer = `wait=${wait === true ? WAIT_SECONDS : wait}`;
      if (idempotencyKey) headers["Idempotency-Key"] = idempotencyKey;
      const body = { templateId, tts_text, instruction, priority, callback_url, format };
      return this._expect(await this._call("POST", "/api/tts", body, headers));
    }

    async retryAudio({ taskId, templateId, tts_text }) {
      const body = { taskId, templateId, tts_text };
      return this._expect(await this._call("POST", "/api/tts/retry", body));
    }

    cancel(taskId) {
      return this._call("POST", "/api/tts/cancel", { taskId });
    }

    getTask(taskId) {
      return this._call("GET", `/api/tts/task/${encodeURIComponent(taskId)}`);
    }

    /**
     * The task once it has succeeded; a TTSError when it fails, is canceled or erased, or is not
     * waited for any longer. What the stream says counts only beyond what the task itself says, which is read
     * once the stream is open: so neither an early end is missed nor an old one mistaken for news.
     */
    waitFor(taskId, { timeout, signal } = {}) {
      return this._follow(taskId, { timeout, signal });
    }

    /** The same; `read` gets the task each time that it was looked at, before it is judged. */
    _follow(taskId, { timeout, signal, read }) {
      if (this._tasks.length && !this._tasks.includes(taskId)) {
        const problem = new TTSError("the client follows other tasks", { code: "not_followed" });
        return Promise.reject(problem);
      }
      let cleanUp;
      const ended = new Promise((resolve, reject) => {
        let newest; // what stands in the log, unknown until it was read
        let heard; // the stream's last word
        const judge = () => {
          if (!newest) return;
          if (heard && heard.position > newest.position) newest = heard;
          if (newest.status === "succeeded" && !isErased(newest)) resolve(newest);
          else if (FINAL.has(newest.status)) reject(endOf(newest));
        };
        const hear = (update) => {
          if (update.taskId !== taskId) return;
          heard = update;
          judge();
        };
        const look = async () => {
          try {
            newest = await this.getTask(taskId);
            read?.(newest);
            judge();
          } catch (error) {
            if (!error.transient) reject(error);
            else if (!over) later = setTimeout(look, this._minDelay);
          }
        };
        const startOver = () => {
          newest = heard = undefined;
          look();
        };
        const abandon = (code) => () =>
          reject(new TTSError(`no longer waiting for task ${taskId}: ${code}`, { code, taskId }));
        const closed = (error) => reject(error ?? new TTSError("closed", { code: "closed" }));
        const aborted = abandon("aborted");
        const listeners = { task_update: hear, connected: look, reset: startOver, close: closed };
        // While no stream can be had, each new try is an occasion to look at the task itself.
        listeners.reconnecting = look;
        for (const [type, listener] of Object.entries(listeners)) {
          this.addEventListener(type, listener);
        }
        let later;
        let over = false;
        const timer = timeout === undefined ? undefined : setTimeout(abandon("timeout"), timeout);
        signal?.addEventListener("abort", aborted);
        cleanUp = () => {
          over = true;
          for (const [type, listener] of Object.entries(listeners)) {
            this.removeEventListener(type, listener);
          }
          clearTimeout(timer);
          clearTimeout(later);
          signal?.removeEventListener("abort", aborted);
        };
        if (signal?.aborted) aborted();
        else if (this._state === "open") look();
        else this.connect().catch(reject);
      });
      return ended.finally(cleanUp);
    }

    /**
     * The audio of a task as it comes, in the order in which it is to be heard: of a long text part
     * after part while the rest is still being spoken; of a short one, or one that is spoken
     * already, the whole. Each part is a WAV of its own, so that it plays everywhere, one after the
     * other. Throws what waitFor() throws, after what could be heard.
     */
    async *audioParts(taskId, { timeout, signal } = {}) {
      const leaving = new AbortController();
      const parts = []; // by their number; what is not there yet is a hole
      let total = 1;
      let next = 0;
      let asked = false;
      let end;
      let wake = () => {};
      const collect = (state) => {
        if (state.taskId !== taskId) return;
        total = state.segments ?? total;
        (state.partialAudioUrls ?? []).forEach((url, index) => (parts[index] ??= url));
        if (state.partialAudioUrl) parts[state.segment] = state.partialAudioUrl;
        wake();
      };
      const read = (task) => {
        // Parts are kept for a day only, the whole is not.
        if (task.status !== "succeeded" || next) collect(task);
      };
      const finish = (result) => {
        end = result;
        wake();
      };
      const abort = () => leaving.abort();
      signal?.addEventListener("abort", abort);
      if (signal?.aborted) abort();
      this.addEventListener("task_update", collect);
      this._follow(taskId, { timeout, signal: leaving.signal, read }).then(
        ({ audioUrl }) => finish({ audioUrl }),
        (error) => finish({ error }),
      );
      try {
        for (;;) {
          while (parts[next]) yield { url: parts[next], segment: next++, segments: total };
          if (end?.error) throw end.error;
          if (end && !next && end.audioUrl) yield { url: end.audioUrl, segment: 0, segments: 1 };
          if (end && (!next || next >= total || asked)) return;
          if (end) {
            asked = true; // what a reset has hidden, and the end came before it was read again
            collect(await this.getTask(taskId));
            continue;
          }
          await new Promise((resolve) => {
            wake = resolve;
          });
        }
      } finally {
        leaving.abort();
        this.removeEventListener("task_update", collect);
        signal?.removeEventListener("abort", abort);
      }
    }

    /**
     * The audio's URL as an <audio> can fetch it, which sends no key: with a token for this audio
     * alone, good for minutes. What is not the service's own comes back as it is.
     */
    async audioSource(audioUrl) {
      const home = `${this._base || (globalThis.location?.origin ?? "")}/audio/`;
      if (!this._apiKey || !audioUrl.startsWith(home) || audioUrl.includes("?")) return audioUrl;
      const order = { scope: "audio", object: decodeURIComponent(audioUrl.slice(home.length)) };
      const { token } = await this._call("POST", "/api/stream-token", order);
      return `${audioUrl}?token=${encodeURIComponent(token)}`;
    }

    // --- the connection

    /** Resolves when the stream is open; rejects when it is refused for good, or closed before. */
    connect() {
      if (!this._EventSource) {
        const hint = 'there is no EventSource here: pass one, as from npm "eventsource"';
        return Promise.reject(new TTSError(hint, { code: "no_event_source" }));
      }
      if (this._state === "closed") {
        this._connected = new Promise((resolve, reject) => {
          this._settle = { resolve, reject };
        });
        this._connected.catch(() => {}); // whoever wants to know awaits it, or listens to "error"
        this._failures = 0;
        this._wasOpen = false;
        for (const [type, react] of Object.entries(this._network)) {
          globalThis.addEventListener?.(type, react);
        }
        this._open();
      }
      return this._connected;
    }

    /** Ends the stream. `connect()` takes it up again where it was. */
    close() {
      this._end();
    }

    async _open() {
      this._drop();
      this._state = this._failures ? "reconnecting" : "connecting";
      const attempt = (this._attempt = {}); // whoever finds another one has been overtaken
      let url;
      try {
        url = await this._streamUrl();
      } catch (error) {
        if (attempt !== this._attempt) return;
        if (error.transient === false) this._end(error);
        else this._reconnect(error); // an error of the app's own getToken may pass, too
        return;
      }
      if (attempt === this._attempt) this._listen(url);
    }

    _listen(url) {
      const source = (this._source = new this._EventSource(url));
      const current = (handle) => (event) => source === this._source && handle(event);
      for (const type of STREAM_EVENTS) {
        source.addEventListener(type, current((event) => this._receive(type, event)));
      }
      source.addEventListener("error", current((event) => this._failed(event)));
      this._watch();
      const life = this._tokenEnds - Date.now();
      if (!(life > 0 && life < LONGEST_TIMER_MS)) return; // or our clock and the service's differ
      const soon = Math.max(life - TOKEN_MARGIN_MS, life / 2, this._minDelay);
      this._renewal = setTimeout(() => this._renew(source), soon);
    }

    /** A stream ends with its token: before that, the next one goes on where this one is by then. */
    async _renew(source) {
      let url;
      try {
        url = await this._streamUrl();
      } catch (error) {
        // What may pass is left to the end of this stream, which then is opened anew.
        if (source === this._source && error.transient === false) this._end(error);
        return;
      }
      if (source !== this._source) return;
      this._drop();
      this._listen(url);
    }

    async _streamUrl() {
      const query = this._tasks.map((taskId) => ["taskId", taskId]);
      let ends = Infinity;
      if (this._getToken || this._apiKey) {
        const given = await (this._getToken?.() ?? this._call("POST", "/api/stream-token"));
        const { token, expiresAt } = typeof given === "string" ? { token: given } : given;
        query.push(["token", token]);
        if (expiresAt) ends = new Date(expiresAt).getTime();
      }
      this._tokenEnds = ends;
      if (this._position !== undefined) query.push(["lastEventId", this._position]);
      const pairs = query.map((pair) => pair.map(encodeURIComponent).join("="));
      return `${this._base}/events${pairs.length ? "?" : ""}${pairs.join("&")}`;
    }

    _failed(event) {
      const why = event?.message ? `the stream broke: ${event.message}` : "the stream broke";
      const error = new TTSError(why, { code: "stream_broken", status: event?.code });
      this._doubt();
      const tokenIsGood = Date.now() < this._tokenEnds - TOKEN_MARGIN_MS;
      if (this._source.readyState === CONNECTING && !this._failures && tokenIsGood) {
        // EventSource tries again by itself. Its first try is left to it, since it alone knows when
        // the server asked its clients to come back; after that we do it, with growing pauses.
        this._failures = 1;
        this._state = "reconnecting";
        this._emit("error", error);
        this._emit("reconnecting", { attempt: 1, position: this._position });
      } else {
        this._reconnect(error);
      }
    }

    /** A stream that never was open may be one that the browser keeps from us: that is the end. */
    async _doubt() {
      if (this._wasOpen) return;
      const refusal = await this._corsRefusal();
      if (refusal && !this._wasOpen) this._end(refusal);
    }

    _reconnect(error) {
      this._drop();
      const longest = Math.min(this._minDelay * 2 ** this._failures, this._maxDelay);
      const delay = Math.max(longest * (0.5 + Math.random() / 2), (error.retryAfter ?? 0) * 1000);
      this._failures += 1;
      this._state = "reconnecting";
      this._timer = setTimeout(() => this._open(), delay);
      this._emit("error", error);
      this._emit("reconnecting", { attempt: this._failures, delay, position: this._position });
    }

    _receive(type, event) {
      const data = JSON.parse(event.data);
      if (data.heartbeatInterval > 0) this._heartbeatInterval = data.heartbeatInterval;
      this._watch();
      if (type === "heartbeat") {
        // Its id, where it has one, says how far the stream is, be it that nothing concerned us.
        const position = Number(event.lastEventId);
        if (position > this._position) this._position = position;
      } else if (type === "connected") {
        this._position ??= data.position;
        this._failures = 0;
        const renewed = this._state === "open"; // with the next token
        this._state = "open";
        this._wasOpen = true;
        this._settle.resolve(data);
        if (!renewed) this._emit("open", data);
        this._stale.forEach((taskId) => this._reload(taskId));
      } else if (type === "reset") {
        this._position = data.position;
        for (const taskId of this._unfinished.keys()) {
          this._unfinished.set(taskId, 0);
          this._stale.add(taskId);
          this._reload(taskId);
        }
      } else if (type === "task_update" && !this._advance(data)) {
        return;
      }
      this._emit(type, data);
    }

    /** Whether the update is news; remembers it. */
    _advance({ taskId, status, position }) {
      const old = position <= this._position || position <= this._unfinished.get(taskId);
      if (position > this._position || this._position === undefined) this._position = position;
      if (old) return false;
      if (FINAL.has(status)) {
        this._unfinished.delete(taskId);
        this._stale.delete(taskId); // whatever is read of it now may be older
      } else {
        this._unfinished.set(taskId, position);
      }
      return true;
    }

    /** A task that was just begun, so that a `reset` before its first update does not hide it. */
    _expect(answer) {
      const passed = answer.position <= this._position;
      if (!passed && !FINAL.has(answer.status)) this._unfinished.set(answer.taskId, 0);
      return answer;
    }

    /** After a `reset`: what the stream will not tell any more, as one update. */
    async _reload(taskId) {
      let task;
      try {
        task = await this.getTask(taskId);
      } catch (error) {
        if (error.transient) {
          setTimeout(() => this._state !== "closed" && this._reload(taskId), this._minDelay);
        } else {
          this._stale.delete(taskId);
          this._unfinished.delete(taskId);
        }
        this._emit("error", error);
        return;
      }
      if (!this._stale.delete(taskId)) return;
      if (task.position <= this._unfinished.get(taskId)) return; // the stream was faster
      if (FINAL.has(task.status)) this._unfinished.delete(taskId);
      else this._unfinished.set(taskId, task.position);
      this._emit("task_update", updateOf(task));
    }

    /** Gives the stream up when nothing comes any more: a dead connection can look open for hours. */
    _watch() {
      clearTimeout(this._watchdog);
      this._watchdog = setTimeout(() => {
        this._reconnect(new TTSError("no heartbeat came", { code: "stream_silent" }));
      }, this._heartbeatInterval * MISSED_HEARTBEATS);
    }

    _drop() {
      clearTimeout(this._timer);
      clearTimeout(this._watchdog);
      clearTimeout(this._renewal);
      this._source?.close();
      this._source = this._attempt = undefined;
    }

    _end(error) {
      if (this._state === "closed") return;
      this._drop();
      this._state = "closed";
      for (const [type, react] of Object.entries(this._network)) {
        globalThis.removeEventListener?.(type, react);
      }
      this._settle.reject(error ?? new TTSError("the client was closed", { code: "closed" }));
      if (error) this._emit("error", error);
      this._emit("close", error);
    }

    // --- inside

    _emit(type, data) {
      for (const listener of [...(this._listeners.get(type) ?? [])]) {
        try {
          listener(data);
        } catch (error) {
          // As an EventTarget does: reported as uncaught, and the others are called all the same.
          setTimeout(() => {
            throw error;
          });
        }
      }
    }

    /** The error if the service is there, but its answers may not be read by this page (CORS). */
    async _corsRefusal() {
      const page = globalThis.location;
      if (!page?.origin || !this._base || new URL(this._base, page.href).origin === page.origin) return;
      const answers = (mode) =>
        this._fetch(`${this._base}/health`, { mode }).then(() => true, () => false);
      if (!(await answers("no-cors")) || (await answers("cors"))) return;
      const hint = `the service lets no page of ${page.origin} read its answers: set CORS_ORIGINS`;
      return new TTSError(hint, { code: "cors" });
    }

    async _call(method, path, body, headers = {}) {
      const init = { method, headers: { Accept: "application/json", ...headers } };
      if (this._apiKey) init.headers.Authorization = `Bearer ${this._apiKey}`;
      if (body !== undefined) {
        init.headers["Content-Type"] = "application/json";
        init.body = JSON.stringify(body);
      }
      let response;
      let answer;
      try {
        response = await this._fetch(this._base + path, init);
        answer = await response.json();
      } catch (cause) {
        const refusal = response ? undefined : await this._corsRefusal();
        if (refusal) throw refusal;
        const status = response?.status;
        const what = status ? `an answer that is not JSON (${status})` : "no answer";
        const code = status ? "bad_answer" : "no_answer";
        throw new TTSError(`${method} ${path}: ${what}`, { code, status, cause });
      }
      if (response.ok && answer?.success) return answer.data;
      throw new TTSError(answer?.error ?? `${method} ${path}: ${response.status}`, {
        code: answer?.code,
        status: response.status,
        taskId: answer?.taskId,
        retryAfter: Number(response.headers.get("Retry-After")) || undefined,
      });
    }
  }

  /** What streams would say of a task as it stands. */
  function updateOf(task) {
    const update = { ...task, timestamp: task.updatedAt, snapshot: true };
    if (task.audioUrl === null) delete update.audioUrl;
    if (task.dismissedAt) update.dismissed = true;
    if (task.erasedAt) update.erased = true;
    return update;
  }

  /** Of a task, or of an update. */
  function isErased({ erased, erasedAt }) {
    return Boolean(erased || erasedAt);
  }

  function endOf({ taskId, status, error, code }) {
    if (status === "succeeded") {
      return new TTSError(`task ${taskId} was erased`, { code: "task_erased", taskId });
    }
    if (status === "canceled") {
      return new TTSError(`task ${taskId} was canceled`, { code: "canceled", taskId });
    }
    return new TTSError(error ?? `task ${taskId} failed`, { code: code ?? "failed", taskId });
  }

  TTSEventClient.TTSError = TTSError;
  globalThis.TTSEventClient = TTSEventClient;
  if (typeof module === "object" && module.exports) {
    module.exports = { TTSEventClient, TTSError };
  }
})();
