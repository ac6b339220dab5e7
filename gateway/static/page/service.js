/** What the dashboard asks the service for, and what it says when that is refused. */

import { TTSEventClient } from "../client/SSEClient.mjs";
import { $ } from "./element.js";
import { session } from "./session.js";

const PATIENCE_MS = 8000; // a service that hangs answers nobody
const SETTLE_MS = [150, 1500]; // after a change: soon, and once the read models must be there

/** The audio's URL as a player can fetch it, which sends no key. */
export function audioSource(url) {
  const base = new URL(".", document.baseURI).href;
  return new TTSEventClient({ baseUrl: base, apiKey: session.key }).audioSource(url);
}

/** An error, or a sentence. */
export function report(error) {
  $("problem").textContent = error.message ?? error;
  $("problem").hidden = false;
}

export function clearProblem() {
  $("problem").hidden = true;
}

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function api(method, path, body) {
  const { key } = session;
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(new URL(path, document.baseURI), {
    method, headers, body: body && JSON.stringify(body), cache: "no-store",
    signal: method === "GET" ? AbortSignal.timeout(PATIENCE_MS) : undefined,
  });
  const answer = await response.json();
  if (response.ok || answer.data) return answer.data;
  if (response.status === 401) session.refuse(key);
  throw new Refusal(response.status, answer.error);
}

/** Runs `work` for the last of many calls: never twice at once, and once more if called meanwhile. */
export function lately(work) {
  let running = false;
  let again = false;
  const run = async () => {
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      await work();
    } catch (error) {
      if (error.status !== 401 && error.status !== 403) report(error);
    }
    running = false;
    if (again) {
      again = false;
      setTimeout(run, SETTLE_MS[0]);
    }
  };
  let timers = [];
  return () => {
    const [soon, late] = timers;
    // The first stands, so that a steady flow of changes does not put it off for ever.
    timers = [soon ?? setTimeout(() => { timers[0] = undefined; run(); }, SETTLE_MS[0])];
    clearTimeout(late);
    timers[1] = setTimeout(run, SETTLE_MS[1]);
  };
}
