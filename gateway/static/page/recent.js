/** The tasks that something happened to last. */

import { language, moment, say } from "./dashboard-words.js";
import { $, element, taskLink } from "./element.js";
import { lost, read } from "./known.js";
import { api } from "./service.js";

const TASKS = 25;

const tasks = new Map();
let drawing = false;

export async function refreshTasks() {
  let page;
  try {
    page = await api("GET", `api/tts/tasks?limit=${TASKS}`);
  } catch (error) {
    lost("tasks-card");
    throw error;
  }
  for (const task of page.tasks.reverse()) takeUpdate({ ...task, timestamp: task.updatedAt });
  read("tasks-card");
  showTasks();
}

export function takeUpdate(update) {
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
    $("no-tasks").hidden = tasks.size > 0;
    $("recent").hidden = tasks.size === 0;
    $("recent").tBodies[0].replaceChildren(...[...tasks.values()].reverse().map(row));
  });
}

function row(task) {
  const line = element("tr");
  line.dataset.taskId = task.taskId;
  line.dataset.status = task.status;
  const cell = (className, ...content) => {
    const node = element("td", className);
    node.append(...content.map((part) => part ?? ""));
    line.append(node);
  };
  const time = element("time", "", moment(task.timestamp));
  time.dateTime = task.timestamp;
  const what = [
    task.dismissed && say("dismissed"), task.code, task.duration && `${task.duration.toFixed(1)} s`,
    task.by && `${task.by}: ${task.reason ?? ""}`,
  ];
  cell("", element("span", "badge", language.status(task.status)));
  cell("", taskLink(task.taskId));
  cell("", task.templateId);
  cell("number", task.attempt ?? 1);
  cell("what", what.filter(Boolean).join(" · "));
  cell("", time);
  return line;
}
