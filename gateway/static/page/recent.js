/** The tasks that something happened to last, or those that the filters choose. */

import { language, moment, number, say } from "./dashboard-words.js";
import { $, element, taskLink } from "./element.js";
import { filtersQuery, showFilters } from "./filters.js";
import { lost, read } from "./known.js";
import { api, lately } from "./service.js";

const TASKS = 25;
const BODY = $("recent").tBodies[0];

let tasks = new Map(); // by id, the last in the list first
let order = []; // the ids as the list shows them
let drawing = false;
let asked = 0; // how often the list was asked for

/** Read what the filters choose now; what an older question finds is dropped. */
export async function refreshTasks() {
  const question = (asked += 1);
  const filters = filtersQuery();
  const query = new URLSearchParams(filters);
  query.set("limit", TASKS);
  let page;
  try {
    page = await api("GET", `api/tts/tasks?${query}`);
  } catch (error) {
    lost("tasks-card");
    throw error;
  }
  if (question !== asked) return;
  const before = tasks;
  if (filters) tasks = new Map();
  for (const task of page.tasks.reverse()) {
    const known = before.get(task.taskId);
    if (known && !tasks.has(task.taskId)) tasks.set(task.taskId, known); // the stream may be ahead
    put({ ...task, timestamp: task.updatedAt });
  }
  read("tasks-card");
  showTasks();
}

const readAgain = lately(refreshTasks);

/** Others are chosen from now on: nothing of what was shown belongs to them. */
export function changeFilters() {
  tasks = new Map();
  order = [];
  showFilters();
  BODY.replaceChildren();
  return refreshTasks();
}

/** What the stream tells; whether it is of a task that the filters choose, only the service knows. */
export function takeUpdate(update) {
  if (!filtersQuery()) put(update);
  else readAgain();
}

function put(update) {
  const task = tasks.get(update.taskId) ?? {};
  if (update.position <= task.position) return;
  tasks.delete(update.taskId); // to stand at the end, which is the top of the list
  // What belongs to the status before does not belong to this one.
  const { templateId, attempt } = task;
  tasks.set(update.taskId, { templateId, attempt, ...update });
  if (tasks.size > TASKS) tasks.delete(tasks.keys().next().value);
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
  const newest = [...tasks.keys()].reverse();
  const { activeElement } = document;
  const held = order.length > 0 && (BODY.matches(":hover") || BODY.contains(activeElement) || activeElement === $("new-tasks"));
  const added = newest.filter((id) => !order.includes(id)).length;
  if (!held) order = newest;
  $("new-tasks").hidden = !held || !added;
  $("new-tasks").textContent = say("newTasks", number(added));
  $("no-tasks").textContent = say(filtersQuery() ? "noneFound" : "noTasks");
  $("no-tasks").hidden = order.length > 0;
  $("recent").hidden = !order.length;
  const rows = new Map([...BODY.rows].map((line) => [line.dataset.taskId, line]));
  const lines = order.map((id) => fill(rows.get(id) ?? row(id), tasks.get(id)));
  if (lines.length !== BODY.rows.length || lines.some((line, n) => line !== BODY.rows[n])) BODY.replaceChildren(...lines);
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

/** A task that is none of the newest any more keeps its row as it is while the list is held. */
function fill(line, task) {
  if (!task) return line;
  line.dataset.status = task.status;
  const what = [
    task.dismissed && say("dismissed"), task.code, task.duration && `${task.duration.toFixed(1)} s`,
    task.by && `${task.by}: ${task.reason ?? ""}`,
  ];
  line.querySelector(".badge").textContent = language.status(task.status);
  line.cells[2].textContent = task.templateId ?? "";
  line.cells[3].textContent = task.attempt ?? 1;
  line.cells[4].textContent = what.filter(Boolean).join(" · ");
  const time = line.querySelector("time");
  time.textContent = moment(task.timestamp);
  time.dateTime = task.timestamp;
  return line;
}

BODY.addEventListener("pointerleave", showTasks);
for (const part of [BODY, $("new-tasks")]) part.addEventListener("focusout", showTasks);
$("new-tasks").addEventListener("click", () => {
  order = [];
  draw();
  BODY.querySelector("a")?.focus(); // the button is gone
});
