/** The stream of all pages, as a client of this page takes it: an EventSource that the session feeds. */

import { session } from "./session.js";

export class SessionStream extends EventTarget {
  #leaving = new AbortController();
  #hasGap;
  #hasBegun = false;

  /** It tells what happens from now on: a client that comes back is told of a gap. */
  constructor(url) {
    super();
    this.#hasGap = new URL(url).searchParams.has("lastEventId");
    const listen = (type, react) => session.addEventListener(type, react, { signal: this.#leaving.signal });
    listen("renewed", ({ detail }) => {
      this.#hasGap ||= this.#hasBegun && detail;
      this.#begin();
    });
    listen("updates", ({ detail }) => detail.forEach((update) => this.#tell("task_update", update)));
    listen("heartbeat", ({ detail }) => this.#tell("heartbeat", detail));
    queueMicrotask(() => this.#begin()); // once somebody listens
  }

  close() {
    this.#leaving.abort();
  }

  #begin() {
    const { state, connected } = session;
    if (state !== "open" || !connected) return;
    this.#tell("connected", connected);
    const { timestamp, position } = connected;
    if (this.#hasGap) this.#tell("reset", { reason: "too_old", requested: "", position, timestamp });
    this.#hasGap = false;
    this.#hasBegun = true;
  }

  #tell(type, data) {
    this.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data), lastEventId: String(data.position ?? "") }));
  }
}
