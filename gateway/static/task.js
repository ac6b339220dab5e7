/** The page of one task, which its address names: what it is, how it went, and what can be done. */

import { confirmed } from "./page/confirm.js";
import { language, say } from "./page/dashboard-words.js";
import { $ } from "./page/element.js";
import { advice } from "./page/failures.js";
import { lost, read, showKnown } from "./page/known.js";
import { showPredictions } from "./page/predictions.js";
import { api, clearProblem, lately, report } from "./page/service.js";
import { session } from "./page/session.js";
import { mayAsk, showSignIn } from "./page/sign-in.js";
import { showSound } from "./page/sound.js";
import { FINAL } from "./page/statuses.js";
import { showFacts } from "./page/task-facts.js";
import { lines } from "./page/timeline.js";

const BLOCK = "the-task";
const LOOK_MS = 5_000;
const id = new URLSearchParams(location.search).get("id") ?? "";
const path = `api/tts/task/${encodeURIComponent(id)}`;
const COMMANDS = {
  retry: { fits: ({ status, erasedAt, archivedAt }) => status === "failed" && !erasedAt && !archivedAt, order: ["POST", "api/tts/retry", { taskId: id }] },
  cancel: { fits: ({ status }) => !FINAL.has(status) && status !== "canceling", order: ["POST", "api/tts/cancel", { taskId: id }] },
  erase: { fits: ({ status, erasedAt }) => FINAL.has(status) && !erasedAt, order: ["DELETE", path] },
};

let task;
let updates = [];

async function readTask() {
  try {
    [task, { events: updates }] = await Promise.all([api("GET", path), readTimeline()]);
  } catch (error) {
    lost(BLOCK);
    if (error.status === 404) showMissing();
    throw error;
  }
  clearProblem();
  read(BLOCK);
  show();
}

/** What happened; of an archived task, nothing is here any more. */
async function readTimeline() {
  try {
    return await api("GET", `${path}/events`);
  } catch (error) {
    if (error.status === 410) return { events: [] };
    throw error;
  }
}

const refresh = lately(() => readTask().catch((error) => {
  if (error.status !== 404) throw error;
}));

function showConnection() {
  const { state } = session;
  $("connection").dataset.state = state;
  $("connection-text").textContent = language.connection(state);
}

function showMissing() {
  task = undefined;
  $(BLOCK).hidden = true;
  $("no-task").hidden = false;
  $("no-task").textContent = id ? say("noTask", id) : say("noId");
}

function show() {
  if (!task) return;
  const { status, error, code, ttsText, audioUrl, erasedAt, createdAt, updatedAt, segments } = task;
  $("no-task").hidden = true;
  $(BLOCK).hidden = false;
  $(BLOCK).dataset.status = status;
  $(BLOCK).classList.toggle("running", !FINAL.has(status));
  $("task-id").textContent = id;
  document.title = `${language.status(status)} · …${id.slice(-12)} · ${say("title")}`;
  setText("status", language.status(status));
  $("failure").hidden = !error;
  setText("failure", [error, code && `(${code})`].filter(Boolean).join(" "));
  const known = error && code && advice(code, language.code, show);
  $("advice").hidden = !known;
  setText("advice", known ? say("advice", known.meaning, known.action) : "");
  setText("text", ttsText ?? say("erased"));
  $("timeline").classList.toggle("long", segments > 1);
  $("timeline").replaceChildren(...lines(updates, Date.parse(updatedAt) - Date.parse(createdAt), language));
  showPredictions(updates);
  showFacts(task);
  showSound(erasedAt ? undefined : audioUrl ?? undefined);
  showCommands();
}

/** A screen reader says what changes in a live region: what stays the same is not written again. */
function setText(place, text) {
  if ($(place).textContent !== text) $(place).textContent = text;
}

function showCommands() {
  for (const [name, { fits }] of Object.entries(COMMANDS)) {
    const button = $(name);
    const focused = button === document.activeElement;
    button.hidden = !fits(task);
    if (focused && button.hidden) $("task-title").focus(); // or the keyboard would start at the top again
  }
}

async function command(name) {
  if (!(await confirmed(...language.words.ask[name], say(name)))) return;
  clearProblem();
  try {
    await api(...COMMANDS[name].order);
  } catch (error) {
    report(error);
  }
  refresh();
}

for (const name of Object.keys(COMMANDS)) $(name).addEventListener("click", () => command(name));
session.addEventListener("change", () => {
  if (session.state !== "open" || !mayAsk()) lost(BLOCK);
  showConnection();
});
session.addEventListener("renewed", () => mayAsk() && refresh());
session.addEventListener("updates", refresh);
session.addEventListener("trouble", ({ detail }) => report(detail));
language.apply(() => {
  show();
  if (!$("no-task").hidden) showMissing();
  showKnown();
  showSignIn();
  showConnection();
});
setInterval(() => {
  session.look();
  if (!document.hidden && mayAsk() && task?.queuePosition) refresh(); // no update tells of the others' turns
}, LOOK_MS);
if (id) session.open(id);
else showMissing();
