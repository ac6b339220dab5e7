/**
 * The example: what an app does with TTSEventClient, on one page.
 *
 * All pages of a browser share one stream and one key: the client takes the session's stream instead
 * of one of its own, and what it missed is read from the log.
 * Everything that comes from outside is shown as text, never as markup. The tasks of this tab and
 * its position in the stream survive a reload, so that one can see that nothing is missed.
 */

import { TTSEventClient } from "./client/SSEClient.mjs";
import { $, element } from "./page/element.js";
import { language, say } from "./page/example-words.js";
import { api } from "./page/service.js";
import { SessionStream } from "./page/session-stream.js";
import { session } from "./page/session.js";
import { FINAL } from "./page/statuses.js";
import { clock, lasted, lines, progress } from "./page/timeline.js";

const KEPT_TASKS = 30;
const KEPT_LINES = 200;
const TEXT_MAX = 10_000;
const LOOK_MS = 5_000;
const PATIENCE_MS = 3_600_000;

const saved = JSON.parse(sessionStorage.getItem("tts-example") ?? "{}");
const tasks = new Map((saved.tasks ?? []).map((task) => [task.taskId, task]));
const cards = new Map();
const listeners = new Map(); // by task: the AbortController of whoever plays its parts
const sources = new WeakMap(); // by <audio>: the promise that it has the source it was given last
let reconnections = 0;
let seen = {}; // of the session
let client;

function save() {
  const kept = { tasks: [...tasks.values()], position: client.position };
  try {
    sessionStorage.setItem("tts-example", JSON.stringify(kept));
  } catch (error) {
    // Some long texts fill what a tab may keep: the oldest task makes room.
    if (error.name !== "QuotaExceededError" || tasks.size < 2) throw error;
    forget(tasks.keys().next().value);
    save();
  }
}

// --- the connection

function start(lastEventId) {
  client?.close();
  client = new TTSEventClient({
    baseUrl: new URL(".", location.href).href, apiKey: session.key, lastEventId,
    EventSource: SessionStream, getToken: () => "the session has it",
    heartbeatInterval: PATIENCE_MS, // before the first one: the session may wait for a key
  });
  client.addEventListener("task_update", take);
  client.addEventListener("reset", () => [...tasks.values()].filter((task) => !over(task)).forEach(reload));
  client.addEventListener("heartbeat", ({ timestamp }) => ($("heartbeat").textContent = clock(timestamp).slice(0, 8)));
  for (const type of ["connected", "task_update", "heartbeat", "reset", "error", "close"]) {
    client.addEventListener(type, (data) => {
      note(type, data);
      showConnection();
    });
  }
  for (const audio of document.querySelectorAll("audio[data-url]")) if (!audio.readyState) load(audio, audio.dataset.url).catch(report);
  connect();
}

function connect() {
  client.connect().catch(report);
  showConnection();
}

function showConnection() {
  const state = client.state === "closed" ? "closed" : session.state;
  $("connection").dataset.state = state;
  $("connection-text").textContent = language.connection(state);
  $("connect").disabled = client.state !== "closed";
  $("disconnect").disabled = client.state === "closed";
  $("position").textContent = client.position ?? "–";
  $("reconnections").textContent = reconnections;
}

function showKey() {
  const { key, problem, me } = session;
  $("sign-out").hidden = !key || Boolean(problem);
  if (me) document.documentElement.dataset.commands = me.mayCommand ? "yes" : "no";
  if (seen.problem && !problem) $("problem").hidden = true;
  if (!problem || problem === seen.problem) return;
  $("key-form").closest("details").open = true;
  report(new Error(say(problem)));
}

session.addEventListener("change", () => {
  const { key, state, problem } = session;
  if (key !== seen.key) start(client.position);
  if (state !== seen.state) note(state);
  if (state !== seen.state && state === "reconnecting") reconnections += 1;
  showKey();
  showConnection();
  seen = { key, state, problem };
});
session.addEventListener("trouble", ({ detail }) => report(new Error(detail)));

function note(type, data) {
  const what = data instanceof Error ? `${data.code ?? ""} ${data.message}` : JSON.stringify(data);
  const line = element("li", "", `${clock(Date.now())} ${type} ${what ?? ""}`);
  $("log").prepend(line);
  if ($("log").children.length > KEPT_LINES) $("log").lastChild.remove();
}

function report(error) {
  if (error.code === "closed") return;
  $("problem").textContent = error.message;
  $("problem").hidden = false;
}

// --- the tasks

function over(task) {
  return FINAL.has(task.updates.at(-1)?.status);
}

/** Statuses may come before the answer to the POST does: whichever is first makes the task. */
function task(taskId) {
  if (!tasks.has(taskId)) tasks.set(taskId, { taskId, updates: [] });
  if (tasks.size > KEPT_TASKS) forget(tasks.keys().next().value);
  return tasks.get(taskId);
}

function forget(taskId) {
  listeners.get(taskId)?.abort();
  tasks.delete(taskId);
  cards.get(taskId)?.remove();
  cards.delete(taskId);
}

function take(update) {
  const entry = task(update.taskId);
  if (update.position <= entry.updates.at(-1)?.position) return;
  entry.updates.push(update);
  heed(entry);
}

/** What the log says of a task, and what the stream has said since. */
async function reload(entry) {
  const { taskId } = entry;
  try {
    const { events, position } = await api("GET", `api/tts/task/${encodeURIComponent(taskId)}/events`);
    entry.updates = [...events, ...entry.updates.filter((update) => update.position > position)];
    if (tasks.has(taskId)) heed(entry);
  } catch (error) {
    const isGone = error.status === 404 || error.status === 410;
    if (isGone) {
      forget(taskId);
      save();
    }
    report(isGone ? new Error(say("gone")) : error);
  }
}

function heed(entry) {
  entry.templateId ??= entry.updates[0].templateId;
  save();
  show(entry);
  if (isLong(entry) && !over(entry)) listen(entry);
  if (entry.updates.at(-1).status === "succeeded") {
    const audio = audioOf(entry);
    const silent = !entry.heard && audio.paused && !audio.currentTime;
    settle(entry);
    if (silent && autoplays(entry)) play(audio);
  }
}

// --- playing

document.addEventListener("play", ({ target }) => { // it does not bubble
  for (const audio of document.querySelectorAll("audio")) if (audio !== target) audio.pause();
}, true);

const isLong = ({ updates }) => updates.some(({ segments }) => segments > 1);
const audioOf = ({ taskId }) => cards.get(taskId).querySelector("audio");
// One voice at a time: nothing begins by itself while another text is heard, or between its parts.
const isHeard = (entry) => !audioOf(entry).paused || (entry.hearing !== undefined && entry.heard > 0);
const autoplays = ({ mine }) => mine && $("autoplay").checked && client.state === "open" && ![...tasks.values()].some(isHeard);

async function play(audio) {
  try {
    await sources.get(audio);
    await audio.play();
  } catch {
    // A browser may want a click first; the button is there.
  }
}

/** Gives an <audio> what is at that URL, by way of a token where keys are asked for. */
function load(audio, url) {
  audio.dataset.url = url;
  const source = client.audioSource(url).then((playable) => {
    if (audio.dataset.url === url) audio.src = playable;
  });
  sources.set(audio, source);
  return source;
}

/** Plays the parts of a long text one after the other while the rest is still being spoken. */
async function listen(entry) {
  const { taskId } = entry;
  if (listeners.has(taskId)) return;
  const leaving = new AbortController();
  listeners.set(taskId, leaving);
  try {
    for await (const { url, segment, segments } of client.audioParts(taskId, { signal: leaving.signal })) {
      if (segments === 1) break; // it is over already: the whole is there
      if (segment < (entry.heard ?? 0)) continue;
      entry.hearing = segment;
      const audio = audioOf(entry);
      const ended = heardOut(audio, url, leaving.signal);
      if (segment || autoplays(entry)) play(audio);
      show(entry);
      await ended;
      entry.heard = segment + 1;
    }
  } catch (error) {
    // What ended the task stands on its card, and what ended the stream above.
    if (!leaving.signal.aborted && !over(entry)) report(error);
  } finally {
    listeners.delete(taskId);
    delete entry.hearing;
    if (tasks.has(taskId)) show(entry);
  }
}

function heardOut(audio, url, signal) {
  return new Promise((resolve, reject) => {
    const once = { once: true, signal };
    signal.addEventListener("abort", reject, { once: true });
    audio.addEventListener("ended", resolve, once);
    audio.addEventListener("error", () => reject(audio.error), once);
    load(audio, url).catch(reject);
  });
}

/** The whole instead of the parts when it is there and none of them plays, from where one was. */
function settle(entry) {
  const audio = audioOf(entry);
  const { audioUrl } = entry.updates.at(-1);
  if (!audioUrl || !audio.paused || audio.ended || !listeners.has(entry.taskId)) return;
  const lengths = [];
  for (const { segment, duration } of entry.updates) if (duration) lengths[segment] = duration;
  const before = lengths.slice(0, entry.hearing ?? 0).reduce((sum, length) => sum + length, 0);
  const heard = before + audio.currentTime;
  listeners.get(entry.taskId).abort();
  load(audio, audioUrl).then(() => (audio.currentTime = heard)).catch(report);
}

function showProgress(card, entry) {
  const place = card.querySelector(".progress");
  place.hidden = !isLong(entry);
  if (place.hidden) return;
  const { parts, done, total, hearing } = progress(entry);
  const cells = parts.map((state, index) => {
    const cell = element("i");
    cell.dataset.state = state;
    cell.classList.toggle("hearing", index === hearing);
    return cell;
  });
  place.querySelector(".parts").replaceChildren(...cells);
  place.querySelector(".parts").classList.toggle("many", total > 40);
  const texts = [say("parts", done, total), hearing !== undefined && say("hearing", hearing + 1)];
  place.querySelector("output").textContent = texts.filter(Boolean).join(" · ");
}

function show(entry) {
  const { taskId, updates } = entry;
  if (!cards.has(taskId)) cards.set(taskId, addCard(entry));
  const card = cards.get(taskId);
  const part = (selector) => card.querySelector(selector);
  const last = updates.at(-1) ?? { status: "starting" };
  card.dataset.status = last.status;
  card.classList.toggle("running", !FINAL.has(last.status));
  part(".badge").textContent = language.status(last.status);
  const whole = updates.length > 1 && updates[0].status === "starting";
  const total = whole ? Date.parse(last.timestamp) - Date.parse(updates[0].timestamp) : 0;
  const facts = [entry.templateId, !(last.segments > 1) && last.duration && say("spoken", last.duration.toFixed(1)), total && lasted(total)];
  part(".meta").textContent = facts.filter(Boolean).join(" · ");
  part(".said").textContent = entry.text ?? "";
  part(".said").hidden = !entry.text;
  part(".problem").textContent = [last.error, last.code && `(${last.code})`].filter(Boolean).join(" ");
  part(".problem").hidden = !last.error;
  const timeline = part(".timeline");
  const atEnd = timeline.scrollTop + timeline.clientHeight > timeline.scrollHeight - 4;
  timeline.classList.toggle("long", isLong(entry));
  timeline.replaceChildren(...lines(updates, total, language));
  if (atEnd) timeline.scrollTop = timeline.scrollHeight;
  showProgress(card, entry);
  part(".retry").hidden = last.status !== "failed";
  part(".cancel").hidden = FINAL.has(last.status) || last.status === "canceling";
  part(".retry").textContent = say("retry");
  part(".cancel").textContent = say("cancel");
  const audio = part("audio");
  if (last.audioUrl && !listeners.has(taskId) && audio.dataset.url !== last.audioUrl) load(audio, last.audioUrl).catch(report);
  audio.hidden = !audio.dataset.url;
  $("empty").hidden = true;
  $("clear").hidden = false;
}

function addCard({ taskId }) {
  const card = $("task").content.firstElementChild.cloneNode(true);
  card.dataset.taskId = taskId;
  card.querySelector(".id").textContent = taskId;
  const retry = card.querySelector(".retry");
  const cancel = card.querySelector(".cancel");
  retry.addEventListener("click", () => command(retry, () => client.retryAudio({ taskId })));
  cancel.addEventListener("click", () => command(cancel, () => client.cancel(taskId)));
  // At the end of a part the next one follows; a pause in the middle is somebody's wish.
  card.querySelector("audio").addEventListener("pause", () => tasks.has(taskId) && settle(tasks.get(taskId)));
  $("tasks").prepend(card);
  return card;
}

async function command(button, run) {
  button.disabled = true;
  $("problem").hidden = true;
  try {
    return await run();
  } catch (error) {
    report(error);
  } finally {
    button.disabled = false;
  }
}

// --- the page

function count() {
  const length = [...$("text").value].length;
  $("counter").textContent = `${length} / ${TEXT_MAX}`;
  $("text").setCustomValidity(length > TEXT_MAX ? `${length} > ${TEXT_MAX}` : "");
}

/** What the language changes beyond the page's own words. */
function showAll() {
  $("instruction").placeholder = language.words.instructionHint;
  $("samples").replaceChildren(...language.words.samples.map(sample));
  for (const task of tasks.values()) show(task);
  showConnection();
}

function sample([name, text]) {
  const chip = element("button", "", name);
  chip.type = "button";
  chip.addEventListener("click", () => {
    $("text").value = text;
    count();
  });
  return chip;
}

$("text").addEventListener("input", count);
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("composer").requestSubmit();
});
$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const request = {
    templateId: $("template").value,
    tts_text: $("text").value,
    instruction: $("instruction").value || undefined,
  };
  command($("generate"), async () => {
    const { taskId } = await client.generateAudio(request);
    const entry = Object.assign(task(taskId), { text: request.tts_text, templateId: request.templateId, mine: true });
    save();
    show(entry);
  });
});
$("connect").addEventListener("click", connect);
$("disconnect").addEventListener("click", () => client.close());
$("clear").addEventListener("click", () => {
  [...tasks.keys()].forEach(forget);
  $("empty").hidden = false;
  $("clear").hidden = true;
  save();
});
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("problem").hidden = true;
  session.useKey($("key").value.trim() || undefined);
});
$("sign-out").addEventListener("click", () => session.signOut());

$("text").value = language.words.samples[0][1];
count();
start(saved.position);
language.apply(showAll);
session.open();
setInterval(() => session.look(), LOOK_MS);
[...tasks.values()].filter((task) => isLong(task) && !over(task)).forEach(listen);
