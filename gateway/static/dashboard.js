/**
 * The dashboard: how many tasks there are, what happens, what failed, and what the service stands on.
 *
 * The stream says when something has changed, and shows it in the list of tasks at once; counts and
 * dead letters come from read models, which follow within moments.
 */

import { refreshCounts, showCounts } from "./page/counts.js";
import { language } from "./page/dashboard-words.js";
import { $ } from "./page/element.js";
import { refreshFigures, showFigures } from "./page/figures.js";
import { followFilters, showFilters } from "./page/filters.js";
import { lost, showKnown } from "./page/known.js";
import { refreshLetters, showLetters } from "./page/letters.js";
import { changeFilters, refreshTasks, renewTasks, showTasks, takeUpdate } from "./page/recent.js";
import { clearProblem, report } from "./page/service.js";
import { session } from "./page/session.js";
import { askForOperators, mayAsk, showSignIn } from "./page/sign-in.js";
import { loseSystem, refreshSystem, showSystem } from "./page/system.js";

const SYSTEM_MS = 5_000;
const FIGURES_MS = 30_000;
const AFFECTS_LETTERS = new Set(["failed", "retrying"]);
const READ = {
  counts: refreshCounts,
  figures: refreshFigures,
  "letters-card": refreshLetters,
  "tasks-card": () => readTasks(),
};

let hasGap = false; // since the list was read

function take(updates) {
  updates.forEach(takeUpdate);
  if (document.hidden) return; // all is read when somebody looks
  showTasks();
  refreshCounts();
  if (updates.some(({ status, erased }) => AFFECTS_LETTERS.has(status) || erased)) refreshLetters();
}

function refresh() {
  if (document.hidden || !mayAsk()) return;
  clearProblem();
  refreshSystem().then(showConnection);
  refreshCounts();
  refreshFigures();
  refreshLetters();
  readTasks(hasGap ? renewTasks : refreshTasks);
  hasGap = false;
}

/** And whatever was not known before; all of it if what it stands on is away: can it be read still? */
async function readSystem() {
  const unknown = Object.keys(READ).filter((block) => $(block).dataset.known !== "yes");
  const isRead = await refreshSystem();
  showConnection();
  if (mayAsk()) for (const block of isRead ? unknown : Object.keys(READ)) READ[block]();
}

function readTasks(ask = refreshTasks) {
  ask().catch((error) => error.status === 401 || error.status === 403 || report(error));
}

/** Nothing is known any more until it is read again. */
function lose() {
  lost(...Object.keys(READ));
  loseSystem();
}

function showConnection() {
  let { state } = session;
  // An open stream of a service that nobody can read tells of nothing: it is not live.
  if (state === "open" && $("parts-card").dataset.read !== "yes") state = mayAsk() ? "connecting" : "closed";
  $("connection").dataset.state = state;
  $("connection-text").textContent = language.connection(state);
}

session.addEventListener("change", () => {
  if (session.state === "reconnecting" || !mayAsk()) lose();
  showConnection();
});
session.addEventListener("renewed", ({ detail }) => {
  hasGap ||= detail;
  refresh();
});
session.addEventListener("updates", ({ detail }) => take(detail));
session.addEventListener("trouble", ({ detail }) => report(detail));
followFilters(() => {
  clearProblem();
  if (mayAsk()) readTasks(changeFilters);
});
askForOperators();
language.apply(() => {
  showFilters();
  showCounts();
  showFigures();
  showLetters();
  showTasks();
  showSystem();
  showKnown();
  showSignIn();
  showConnection();
});
session.open();

function look() {
  session.look();
  if (!document.hidden && mayAsk()) readSystem();
}

setInterval(look, SYSTEM_MS);
setInterval(() => !document.hidden && mayAsk() && refreshFigures(), FIGURES_MS);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return lose(); // nothing is read meanwhile
  session.look();
  return refresh();
});
