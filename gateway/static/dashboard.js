/**
 * The dashboard: how many tasks there are, what happens, what failed, and what the service stands on.
 *
 * The stream says when something has changed, and shows it in the list of tasks at once; counts and
 * dead letters come from read models, which follow within moments.
 */

import { TTSEventClient } from "./client/SSEClient.mjs";
import { refreshCounts, showCounts } from "./page/counts.js";
import { language } from "./page/dashboard-words.js";
import { $ } from "./page/element.js";
import { followFilters, showFilters } from "./page/filters.js";
import { lost, showKnown } from "./page/known.js";
import { refreshLetters, showLetters } from "./page/letters.js";
import { changeFilters, refreshTasks, showTasks, takeUpdate } from "./page/recent.js";
import { showRights } from "./page/rights.js";
import { apiKey, askForKey, clearProblem, mayAsk, report, useKey } from "./page/service.js";
import { loseSystem, refreshSystem, showSystem } from "./page/system.js";

const SYSTEM_MS = 5_000;
const AFFECTS_LETTERS = new Set(["failed", "retrying"]);

let client;

function start() {
  client?.close();
  client = new TTSEventClient({ baseUrl: new URL(".", document.baseURI).href, apiKey: apiKey() });
  client.addEventListener("task_update", (update) => {
    takeUpdate(update);
    showTasks();
    refreshCounts();
    if (AFFECTS_LETTERS.has(update.status) || update.erased) refreshLetters();
  });
  for (const type of ["connected", "reconnecting", "error", "close"]) client.addEventListener(type, showConnection);
  // What the stream could not tell, because it was not there or not open yet, is read.
  for (const type of ["connected", "reset"]) client.addEventListener(type, refresh);
  client.addEventListener("connected", clearProblem);
  client.addEventListener("connected", showRights);
  client.addEventListener("reconnecting", lose);
  client.connect().catch((error) => {
    showConnection();
    if (error.status === 401) askForKey();
    else if (error.code !== "closed") report(error);
  });
  showConnection();
  refresh();
}

function refresh() {
  refreshCounts();
  refreshLetters();
  readSystem();
  readTasks();
}

async function readSystem() {
  const isRead = await refreshSystem();
  showConnection();
  if (isRead || !mayAsk()) return;
  // What it stands on is away: each list finds out whether it can be read still.
  refreshCounts();
  refreshLetters();
  readTasks();
}

function readTasks(ask = refreshTasks) {
  ask().catch((error) => error.status === 401 || error.status === 403 || report(error));
}

/** Nothing is known any more until it is read again. */
function lose() {
  lost("counts", "letters-card", "tasks-card");
  loseSystem();
}

function showConnection() {
  let state = client?.state ?? "closed";
  // An open stream of a service that nobody can read tells of nothing: it is not live.
  if (state === "open" && $("parts-card").dataset.read !== "yes") state = mayAsk() ? "connecting" : "closed";
  $("connection").dataset.state = state;
  $("connection-text").textContent = language.connection(state);
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey($("key").value);
  start();
});

followFilters(() => {
  clearProblem();
  readTasks(changeFilters);
});
language.apply(() => {
  showFilters();
  showCounts();
  showLetters();
  showTasks();
  showSystem();
  showKnown();
  showConnection();
});
start();
setInterval(() => {
  if (!mayAsk()) return;
  readSystem();
  const unread = (block) => $(block).dataset.read !== "yes";
  if (unread("counts")) refreshCounts();
  if (unread("letters-card")) refreshLetters();
  if (unread("tasks-card")) readTasks();
}, SYSTEM_MS);
