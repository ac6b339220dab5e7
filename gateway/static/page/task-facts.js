/** What is known of one task, line by line. */

import { language, moment, number, say } from "./dashboard-words.js";
import { $, fact } from "./element.js";
import { roughly } from "./roughly.js";
import { lasted } from "./timeline.js";

const UNITS = [["MB", 1e6], ["kB", 1e3], ["B", 1]];

export function showFacts(task) {
  const lines = [
    ["template", task.templateId],
    ["instruction", task.instruction],
    ["length", task.ttsText && number([...task.ttsText].length)],
    ["priority", language.words.priorities[task.priority] ?? task.priority],
    ["attempt", say("ofAttempts", task.attempt, task.maxAttempts)],
    ["turn", task.queuePosition && number(task.queuePosition)],
    ["expectedWait", typeof task.estimatedWaitMs === "number" && say("about", roughly(Math.ceil(task.estimatedWaitMs / 1000)))],
    ["nextTry", task.retryAt && moment(task.retryAt)],
    ["partColumn", task.segments && say("partsDone", number(task.segmentsDone), number(task.segments))],
    ["spoken", task.duration && say("seconds", task.duration.toFixed(1))],
    ["bytes", task.bytes && size(task.bytes)],
    ["created", moment(task.createdAt)],
    ["completed", task.completedAt && moment(task.completedAt)],
    ["total", task.completedAt && lasted(Date.parse(task.completedAt) - Date.parse(task.createdAt))],
    ["dismissed", task.dismissedAt && moment(task.dismissedAt)],
    ["erased", task.erasedAt && moment(task.erasedAt)],
    ...callback(task),
  ];
  $("facts").replaceChildren(...lines.filter(([, value]) => value).map(([name, value]) => fact(say(name), value)));
}

function callback({ callbackUrl, callbackState, callbackAttempts, callbackProblem, callbackAt }) {
  if (!callbackUrl) return [];
  const state = language.words.callbacks[callbackState] ?? callbackState;
  return [
    ["callbackTo", callbackUrl],
    ["callback", callbackAttempts ? say("tries", state, number(callbackAttempts)) : state],
    ["callbackProblem", callbackProblem],
    ["callbackNext", callbackAt && moment(callbackAt)],
  ];
}

function size(bytes) {
  const [unit, bytesOfOne] = UNITS.find(([, least]) => bytes >= least) ?? UNITS.at(-1);
  return `${number(Math.round((10 * bytes) / bytesOfOne) / 10)} ${unit}`;
}
