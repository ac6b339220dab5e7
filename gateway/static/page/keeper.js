/** Keeps the key and the one stream: for all pages of a browser in a shared worker, else for one page. */

import { TTSError, TTSEventClient } from "../client/SSEClient.mjs";

const KEY = /^[\x21-\x7e]+$/; // no browser sends anything else in a header
const GATHER_MS = 50; // a busy service tells more than a page can draw one by one

export class Keeper {
  #base;
  #tell;
  #client;
  #key;
  #problem; // a word of the page: why a key is asked for
  #me; // what the key may do, once that is known
  #connected; // what the stream said when it began
  #news = 0; // grows whenever a page has to read everything anew
  #gaps = 0; // grows whenever the stream may have left something out
  #updates = [];
  #gathering;

  /** `tell` gets what all pages have to know: `{ session }`, `{ updates }`, `{ heartbeat }`, `{ trouble }` or `{ signedOut }`. */
  constructor(base, tell) {
    this.#base = base;
    this.#tell = tell;
  }

  get session() {
    return {
      key: this.#key, state: this.#client?.state ?? "closed", problem: this.#problem,
      me: this.#me, connected: this.#connected, news: this.#news, gaps: this.#gaps,
    };
  }

  /** A page says or wants something; what is about that page alone is not for here. */
  take({ order, key }) {
    if (order === "join") this.#join(key);
    else if (order === "useKey") this.#start(key);
    else if (order === "refuse" && key === this.#key) this.#refuse();
    else if (order === "signOut") this.#signOut();
    else if (order === "pause") this.#client?.close();
    else if (order === "resume" && !this.#problem) this.#connect();
  }

  /** A page may bring the key that the page before it had. */
  #join(key) {
    const isLost = this.#problem || (!this.#key && this.#client?.state !== "open");
    if (!this.#client || (key && isLost)) this.#start(key);
  }

  #start(key) {
    this.#client?.close();
    this.#key = key;
    this.#problem = this.#me = this.#connected = undefined;
    this.#updates = []; // they are for who had the key before
    this.#gaps += 1;
    if (key && !KEY.test(key)) {
      this.#refuse();
      return;
    }
    const getToken = async () => {
      const me = await this.#ask("GET", "api/me", key);
      if (client === this.#client) this.#me = me;
      // Where no keys are configured, any word is a token.
      return key ? this.#ask("POST", "api/stream-token", key) : "anonymous";
    };
    const client = (this.#client = new TTSEventClient({ baseUrl: this.#base, apiKey: key, getToken }));
    const current = (react) => (data) => client === this.#client && react(data);
    const listen = (type, react) => client.addEventListener(type, current(react));
    listen("task_update", (update) => this.#gather(update));
    listen("connected", (data) => {
      this.#connected = data;
      this.#renew();
    });
    listen("heartbeat", (heartbeat) => this.#tell({ heartbeat }));
    listen("reset", () => {
      this.#gaps += 1;
      this.#renew();
    });
    listen("reconnecting", () => (this.#news ? this.#show() : this.#renew())); // the rest may be readable
    listen("error", ({ status, message }) => status && status !== 401 && this.#tell({ trouble: message })); // such as too many
    listen("close", (error) => {
      if (error?.status === 401) this.#refuse();
      this.#show();
    });
    this.#connect();
  }

  #connect() {
    this.#client?.connect().catch(({ code, message }) => code === "no_event_source" && this.#tell({ trouble: message }));
    this.#show();
  }

  #signOut() {
    this.#client?.close();
    this.#client = this.#key = this.#me = this.#connected = undefined;
    this.#updates = [];
    this.#tell({ signedOut: true });
  }

  #refuse() {
    this.#problem = this.#key ? "keyRefused" : "keyNeeded";
    this.#client?.close();
    this.#show();
  }

  #renew() {
    this.#news += 1;
    this.#show();
  }

  #show() {
    this.#tell({ session: this.session });
  }

  #gather(update) {
    this.#updates.push(update);
    this.#gathering ??= setTimeout(() => {
      if (this.#updates.length) this.#tell({ updates: this.#updates });
      this.#updates = [];
      this.#gathering = undefined;
    }, GATHER_MS);
  }

  async #ask(method, path, key) {
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    const response = await fetch(this.#base + path, { method, headers, cache: "no-store" });
    const answer = await response.json();
    if (response.ok) return answer.data;
    throw new TTSError(answer.error, { code: answer.code, status: response.status });
  }
}

/** What of a message is for a page about this task; undefined: nothing. Without a task it is about all. */
export function partFor(taskId, message) {
  if (!taskId || !message.updates) return message;
  const updates = message.updates.filter((update) => update.taskId === taskId);
  return updates.length ? { updates } : undefined;
}
