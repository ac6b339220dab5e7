/** The shared worker: one key and one stream for all pages that are open in this browser. */

import { Keeper, partFor } from "./keeper.js";

const ALIVE_MS = 5_000; // a page that hears nothing looks for another worker
const UNREAD = 100; // messages that lie before a page; a browser may have stopped it

const pages = new Map(); // port → Page
const keeper = new Keeper(new URL("..", import.meta.url).href, tellAll);

class Page {
  #port;
  #taskId;
  #unread = 0;
  #missed = false;
  #skipped = 0; // how often it has missed something, and has to read all anew

  constructor(port, taskId) {
    this.#port = port;
    this.#taskId = taskId;
  }

  tell(message) {
    const part = partFor(this.#taskId, message);
    if (!part) return;
    if (part.updates && this.#unread >= UNREAD) {
      this.#missed = true;
      return;
    }
    if (part.updates) this.#unread += 1;
    const { session } = part;
    this.#port.postMessage(session ? { session: this.#own(session) } : part);
  }

  /** It has read a message of updates. */
  read() {
    this.#unread -= 1;
    if (!this.#missed || this.#unread) return;
    this.#missed = false;
    this.#skipped += 1;
    this.tell({ session: keeper.session });
  }

  #own(session) {
    const { news, gaps } = session;
    return { ...session, news: news + this.#skipped, gaps: gaps + this.#skipped };
  }
}

function tellAll(message) {
  for (const page of pages.values()) page.tell(message);
}

function take(port, message) {
  if (message.order === "join") pages.set(port, new Page(port, message.taskId));
  if (message.order === "leave") pages.delete(port);
  else if (message.order === "read") pages.get(port)?.read();
  else keeper.take(message);
  if (message.order === "join") pages.get(port).tell({ session: keeper.session });
}

addEventListener("connect", ({ ports: [port] }) => {
  port.addEventListener("message", ({ data }) => take(port, data));
  port.start();
});
setInterval(() => tellAll({ session: keeper.session }), ALIVE_MS);
