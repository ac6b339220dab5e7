/** Keeps the key and the one stream: for all pages of a browser in a shared worker, else for one page. */

import { TTSError, TTSEventClient } from "../client/SSEClient.mjs";

const GATHER_MS = 50; // a busy service tells more than a page can draw one by one

export class Keeper {
  #base;
  #tell;
  #client;
  #key;
  #problem; // a word of the page: why a key is asked for
  #commands; // whether the key may command, once that is known
  #news = 0; // grows whenever a page has to read everything anew
  #updates = [];
  #gathering;

  /** `tell` gets what all pages have to know: `{ session }`, `{ updates }`, `{ trouble }` or `{ signedOut }`. */
  constructor(base, tell) {
    this.#base = base;
    this.#tell = tell;
  }

  get session() {
    return {
      key: this.#key, state: this.#client?.state ?? "closed", problem: this.#problem,
      commands: this.#commands, news: this.#news,
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
    this.#problem = this.#commands = undefined;
    const getToken = key ? undefined : () => this.#anonymousToken();
    const client = (this.#client = new TTSEventClient({ baseUrl: this.#base, apiKey: key, getToken }));
    const current = (react) => (data) => client === this.#client && react(data);
    const listen = (type, react) => client.addEventListener(type, current(react));
    listen("task_update", (update) => this.#gather(update));
    listen("connected", () => {
      this.#renew();
      this.#askForRights(client);
    });
    listen("reset", () => this.#renew());
    listen("reconnecting", () => (this.#news ? this.#show() : this.#renew())); // the rest may be readable
    listen("close", (error) => {
      if (error?.status === 401) this.#refuse();
      else if (error) this.#tell({ trouble: error.message });
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
    this.#client = this.#key = this.#commands = undefined;
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
      this.#tell({ updates: this.#updates });
      this.#updates = [];
      this.#gathering = undefined;
    }, GATHER_MS);
  }

  /** Where no keys are configured any word is a token; where they are, the answer is 401. */
  async #anonymousToken() {
    return (await this.#order({})).token;
  }

  async #askForRights(client) {
    let commands = true;
    try {
      await this.#order({ scope: "command" }); // not used: whether it is granted is the answer
    } catch (error) {
      if (error.status !== 403) return; // whatever else keeps it from being known leaves it as it was
      commands = false;
    }
    if (client !== this.#client) return;
    this.#commands = commands;
    this.#show();
  }

  async #order(body) {
    const headers = { "Content-Type": "application/json" };
    if (this.#key) headers.Authorization = `Bearer ${this.#key}`;
    const response = await fetch(`${this.#base}api/stream-token`, { method: "POST", headers, body: JSON.stringify(body) });
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
