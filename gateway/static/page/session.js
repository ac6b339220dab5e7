/** This page's part in the session of its browser: the key, how the stream stands, and what it tells. */

import { Keeper, partFor } from "./keeper.js";

const NAME = "tts-2"; // of the worker: another one for messages of another form
const KEY = "tts-session"; // of this tab: for the page after this one, should there be no other
const SIGN_OUTS = "tts-sign-outs"; // of all tabs: a key that one of them had before is void
const SILENCE_MS = 20_000; // a worker that lives tells so each five seconds

/**
 * Events: `change` of any property, `renewed` when everything is to be read (its `detail` is whether the
 * stream may have left something out), `updates` (an array), `heartbeat`, `trouble` (a sentence).
 */
class Session extends EventTarget {
  key;
  state = "connecting";
  problem;
  me; // what the key may do
  connected; // what the stream said when it began
  news = 0;
  gaps = 0;
  #gapsKnown = 0;
  #taskId;
  #send = () => {};
  #alone = false; // without a worker
  #heardAt = 0;

  /** Follow the task, or all that the key may see. */
  open(taskId) {
    this.#taskId = taskId;
    this.#join();
    addEventListener("pagehide", () => this.#send({ order: "leave" }));
    addEventListener("pageshow", ({ persisted }) => persisted && this.#join());
  }

  useKey(key) {
    this.#send({ order: "useKey", key });
  }

  /** A request with this key was answered 401. */
  refuse(key) {
    this.#send({ order: "refuse", key });
  }

  /** Put the key away, on all pages. */
  signOut() {
    localStorage.setItem(SIGN_OUTS, Number(localStorage.getItem(SIGN_OUTS)) + 1);
    this.#send({ order: "signOut" });
  }

  /** To be called now and then by a page that is seen: a worker can die. */
  look() {
    if (this.#alone || Date.now() - this.#heardAt < SILENCE_MS) return;
    this.#send({ order: "leave" });
    this.#take({ ...this.#standing(), state: "reconnecting", news: 0, gaps: 0 });
    this.#gapsKnown = 0;
    this.#join();
  }

  #join() {
    this.#heardAt = Date.now();
    if (!this.#alone) this.#send = this.#shared() ?? this.#own();
    this.#send({ order: "join", taskId: this.#taskId, key: storedKey() });
  }

  /** How to send to the worker of all pages; undefined if the browser has none. */
  #shared() {
    let worker;
    try {
      worker = new SharedWorker(new URL("keeper-worker.js", import.meta.url), { type: "module", name: NAME });
    } catch {
      return undefined; // there are none, or not for a page that may store nothing
    }
    worker.addEventListener("error", () => {
      this.#send = this.#own();
      this.#join();
    }, { once: true });
    worker.port.addEventListener("message", ({ data }) => this.#receive(data));
    worker.port.start();
    return (message) => worker.port.postMessage(message);
  }

  /** A stream of this page alone, which is closed while nobody looks: a browser opens few to one host. */
  #own() {
    this.#alone = true;
    const keeper = new Keeper(new URL("..", import.meta.url).href, (message) => {
      const part = partFor(this.#taskId, message);
      if (part) this.#receive(part);
    });
    const turn = () => keeper.take({ order: document.hidden ? "pause" : "resume" });
    document.addEventListener("visibilitychange", turn);
    addEventListener("storage", ({ key }) => key === SIGN_OUTS && leave());
    return (message) => {
      keeper.take(message);
      if (message.order === "join") turn();
    };
  }

  #receive({ session, updates, heartbeat, trouble, signedOut }) {
    this.#heardAt = Date.now();
    if (signedOut) leave();
    if (session) this.#take(session);
    if (updates) this.#send({ order: "read" });
    if (updates) this.dispatchEvent(new CustomEvent("updates", { detail: updates }));
    if (heartbeat) this.dispatchEvent(new CustomEvent("heartbeat", { detail: heartbeat }));
    if (trouble) this.dispatchEvent(new CustomEvent("trouble", { detail: trouble }));
  }

  #take(session) {
    const before = this.#standing();
    if (JSON.stringify(before) === JSON.stringify(session)) return;
    Object.assign(this, session);
    if (session.problem) sessionStorage.removeItem(KEY);
    else if (session.key && session.state === "open") keep(session.key);
    this.dispatchEvent(new Event("change"));
    if (!session.news || before.news === session.news) return;
    const hasGap = session.gaps !== this.#gapsKnown;
    this.#gapsKnown = session.gaps;
    this.dispatchEvent(new CustomEvent("renewed", { detail: hasGap }));
  }

  #standing() {
    const { key, state, problem, me, connected, news, gaps } = this;
    return { key, state, problem, me, connected, news, gaps };
  }
}

function storedKey() {
  const [signOuts, key] = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
  return signOuts === localStorage.getItem(SIGN_OUTS) ? key : undefined;
}

function keep(key) {
  sessionStorage.setItem(KEY, JSON.stringify([localStorage.getItem(SIGN_OUTS), key]));
}

/** Nothing of what was seen stays. */
function leave() {
  sessionStorage.clear();
  location.reload();
}

export const session = new Session();
