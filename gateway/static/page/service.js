/** What the dashboard asks the service for, and what it says when that is refused. */

import { language } from "./dashboard-words.js";
import { $ } from "./element.js";

const KEY = "tts-dashboard-key";
const PATIENCE_MS = 8000; // a service that hangs answers nobody
const SETTLE_MS = [150, 1500]; // after a change: soon, and once the read models must be there

let key = sessionStorage.getItem(KEY) ?? undefined;
let refused = false;

export const apiKey = () => key;

/** Whether to ask by ourselves: a page that is left open with a wrong key must not lock its address out. */
export const mayAsk = () => !refused;

export function useKey(text) {
  key = text;
  refused = false;
  sessionStorage.setItem(KEY, key);
  $("key-form").hidden = true;
  $("key-problem").hidden = true;
  clearProblem();
}

export function forgetKey() {
  key = undefined;
  sessionStorage.removeItem(KEY);
}

/** Ask for one, or for another one: `why` is a word of the page. */
export function askForKey(why = key && "keyRefused") {
  refused = true;
  $("key-form").hidden = false;
  $("key-problem").hidden = !why;
  if (why) $("key-problem").textContent = language.words[why];
  if (document.activeElement === document.body) $("key").focus();
}

export function report(error) {
  $("problem").textContent = error.message;
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
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(new URL(path, document.baseURI), {
    method, headers, body: body && JSON.stringify(body), cache: "no-store",
    signal: method === "GET" ? AbortSignal.timeout(PATIENCE_MS) : undefined,
  });
  const answer = await response.json();
  if (response.ok || answer.data) return answer.data;
  if (response.status === 401) askForKey();
  if (response.status === 403 && method === "GET") askForKey("keyTooLittle");
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
