/** The newest tasks, or those that the filters choose: as many as one scrolls to. */

import { brief, language, moment, number, say } from "./dashboard-words.js";
import { $, element, taskLink } from "./element.js";
import { filtersQuery, showFilters } from "./filters.js";
import { lost, read, standsStill, stillSince } from "./known.js";
import { Rows } from "./rows.js";
import { api, lately, report } from "./service.js";
import { TaskList } from "./task-list.js";

const FIRST = 50; // tasks; the list is as long as one scrolls
const NEXT = 200;
const NEAR = 20; // rows before the end: time to read the next page
const list = new TaskList();
const rows = new Rows($("rows"), $("recent"), { make: row, fill, seen });

let shown = []; // the ids as the page shows them
let kept = new Map(); // the tasks that are shown, though they may be none of the list any more
let older = new Set(); // tasks that are not loaded because they are further down
let drawing = false;
let reading = false; // the next page
let asked = 0; // how often the list was asked for

/** Read what the filters choose now; what an older question finds is dropped. */
export async function refreshTasks() {
  const question = (asked += 1);
  let page;
  try {
    page = await readPage(FIRST);
  } catch (error) {
    lost("tasks-card");
    throw error;
  }
  if (question !== asked) return;
  list.takeFirst(page, list.left > 0 && !isHeld());
  standsStill(stillSince(page), "tasks-card");
  read("tasks-card");
  showTasks();
}

const readAgain = lately(refreshTasks);

/** The stream may have left something out: read all again, and what was loaded is grey until then. */
export function renewTasks() {
  list.doubt();
  older = new Set();
  return refreshTasks();
}

/** Others are chosen from now on: nothing of what was shown belongs to them. */
export function changeFilters() {
  list.clear();
  shown = [];
  older = new Set();
  showFilters();
  rows.show(shown, false);
  $("rows").scrollTop = 0;
  return refreshTasks();
}

/** What the stream tells; whether it is of a task that the filters choose, only the service knows. */
export function takeUpdate(update) {
  const { taskId } = update;
  const isFiltered = Boolean(filtersQuery());
  const isTaken = (!isFiltered || list.tasks.has(taskId)) && list.takeUpdate(update);
  if (isFiltered || !(isTaken || older.has(taskId))) readAgain();
  if (!isTaken) older.add(taskId);
}

export function showTasks() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

/** Under a pointer or a focus the rows keep their places, so that nobody opens another task than meant. */
function draw() {
  const held = isHeld();
  if (held) append(list.behind(kept.get(shown.at(-1))));
  else show([...list.order]);
  if (!held && list.left) readAgain();
  const there = new Set(shown);
  const added = list.order.filter((id) => !there.has(id)).length + list.left;
  $("new-tasks").hidden = !held || !added;
  $("new-tasks").textContent = say("newTasks", number(added));
  $("no-tasks").textContent = say(list.cursor ? "looking" : filtersQuery() ? "noneFound" : "noTasks");
  $("no-tasks").hidden = shown.length > 0;
  $("rows").hidden = !shown.length;
  rows.show(shown, list.cursor === null);
}

function isHeld() {
  return shown.length > 0 && (rows.isHeld || document.activeElement === $("new-tasks"));
}

function show(ids) {
  shown = ids;
  kept = new Map(list.tasks);
}

function append(ids) {
  for (const id of ids) kept.set(id, list.tasks.get(id));
  shown.push(...ids);
}

async function readPage(limit, cursor) {
  const query = new URLSearchParams(filtersQuery());
  query.set("limit", limit);
  if (cursor) query.set("cursor", cursor);
  return api("GET", `api/tts/tasks?${query}`);
}

/** Called with each drawing: the next page is read before its rows are in sight. */
function seen(end) {
  if (end > shown.length - NEAR) readNext();
}

async function readNext() {
  const { cursor } = list;
  if (reading || !cursor) return;
  reading = true;
  try {
    const page = await readPage(NEXT, cursor);
    if (cursor === list.cursor) list.takeNext(page);
    showTasks();
  } catch (error) {
    lost("tasks-card");
    if (error.status !== 401 && error.status !== 403) report(error);
  } finally {
    reading = false;
  }
}

function row(taskId) {
  const line = element("tr");
  line.dataset.taskId = taskId;
  for (const className of ["", "", "", "number", "what", ""]) line.append(element("td", className));
  line.cells[0].append(element("span", "badge"));
  line.cells[1].append(taskLink(taskId));
  line.cells[5].append(element("time"));
  return line;
}

function fill(line, taskId) {
  const task = list.tasks.get(taskId) ?? { ...kept.get(taskId), unsure: true };
  line.dataset.status = task.status;
  line.classList.toggle("unsure", Boolean(task.unsure));
  const what = [
    task.dismissed && say("dismissed"), task.code, task.duration && `${task.duration.toFixed(1)} s`,
    task.by && `${task.by}: ${task.reason ?? ""}`,
  ];
  write(line.querySelector(".badge"), language.status(task.status));
  write(line.cells[2], task.templateId ?? "");
  write(line.cells[3], String(task.attempt ?? 1));
  write(line.cells[4], what.filter(Boolean).join(" · "));
  const time = line.querySelector("time");
  write(time, brief(task.timestamp));
  time.title = moment(task.timestamp);
  time.dateTime = task.timestamp;
}

/** What stays the same is not written again: a selection in it would be lost. */
function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

$("recent").tBodies[0].addEventListener("pointerleave", showTasks);
$("rows").addEventListener("scroll", () => $("rows").scrollTop === 0 && showTasks(), { passive: true });
for (const part of [$("rows"), $("new-tasks")]) part.addEventListener("focusout", showTasks);
$("new-tasks").addEventListener("click", () => {
  shown = [];
  $("rows").scrollTop = 0;
  draw();
  rows.start(); // the button is gone
});
