/** What the service stands on: its parts, what waits, what is missing, and the gate to Replicate. */

import { language, moment, number, say } from "./dashboard-words.js";
import { $, element, fact } from "./element.js";
import { lost, read, standsStill } from "./known.js";
import { roughly } from "./roughly.js";
import { api, clearProblem, report } from "./service.js";
import { troubleItem } from "./troubles.js";

const BLOCKS = ["parts-card", "queue", "system-card", "gate"];
const FROM_READ_MODELS = ["counts", "letters-card"];
const PARTS = ["gateway", "relay", "processor", "projector"];

let system;
let isAway = false; // as the last reading found

/** Whether it could be read; what could not is grey from then on. */
export async function refreshSystem() {
  try {
    system = await api("GET", "system");
  } catch (error) {
    isAway = true;
    loseSystem();
    // A key that is refused now has been good for what is shown; nobody reads on with it.
    if (error.status === 401 || error.status === 403) lost(...FROM_READ_MODELS, "figures", "tasks-card");
    else report(error);
    return false;
  }
  if (isAway) clearProblem();
  isAway = false;
  read(...BLOCKS);
  showSystem();
  return true;
}

export function loseSystem() {
  lost(...BLOCKS);
  $("troubles").replaceChildren(); // nobody knows whether they are over
  badge("health", say("unknown"), undefined);
}

export function showSystem() {
  if (!system || $("parts-card").dataset.known === "no") {
    badge("health", say("unknown"), undefined);
    return;
  }
  const { troubles } = system;
  $("troubles").replaceChildren(...troubles.map(troubleItem));
  badge("health", troubles.length ? say("troubles", number(troubles.length)) : say("healthy"), troubles.length ? "bad" : "good");
  $("parts").replaceChildren(...PARTS.flatMap(partItems));
  const still = troubles.find(({ code, subject }) => subject === "projector" && code !== "need_away");
  standsStill(still && (still.since ?? new Date()), ...FROM_READ_MODELS);
  showQueue();
  const { kind, store, queue, audio } = system.deployment;
  $("system").replaceChildren(
    fact(say("version"), system.version), fact(say("deployment"), kind), fact(say("store"), store), fact(say("queue"), queue),
    fact(say("audio"), audio), fact(say("uptime"), roughly(system.uptimeSeconds)), fact(say("position"), number(system.position)),
    fact(say("streams"), number(system.streams)),
  );
  showGate(system.gate);
}

function partItems(name) {
  const parts = system.parts.filter(({ part }) => part === name);
  if (!parts.length) return [partItem(name, false, language.words.none)];
  return parts.map((part) => {
    const alive = part.state === "alive";
    const needs = Object.entries(part.needs).filter(([, answer]) => answer !== "ok");
    const facts = [
      part.name,
      !alive && `${say("silent")} ${roughly(part.silentSeconds)}`,
      alive && part.role && language.words.roles[part.role],
      part.places !== null && say("busy", number(part.busy), number(part.places)),
      part.lag?.seconds >= 1 && say("behind", number(Math.round(part.lag.seconds))),
      ...needs.map(([need, answer]) => `${language.words[need] ?? need}: ${answer}`),
      part.version !== system.version && part.version,
    ];
    const item = partItem(name, alive && !needs.length, facts.filter(Boolean).join(" · "));
    if (part.lastProblem) item.title = say("lastProblem", moment(part.lastProblem.at), part.lastProblem.message);
    return item;
  });
}

function partItem(name, ok, text) {
  const item = element("li", "", "");
  item.dataset.ok = ok;
  item.dataset.part = name;
  item.append(document.createTextNode(language.words.partNames[name]), element("span", "", text));
  return item;
}

function showQueue() {
  const { queue } = system;
  $("queue").hidden = !queue;
  if (!queue) return;
  const { priorities, queueNames } = language.words;
  $("queue-facts").replaceChildren(
    ...Object.entries(queue.backlog).map(([priority, count]) => fact(priorities[priority], number(count))),
    fact(say("published"), number(queue.published)),
    ...Object.entries(queue.ready ?? {}).map(([name, count]) => fact(queueNames[name], number(count))),
    fact(say("unfinished"), number(queue.unfinished)),
    fact(say("oldest"), queue.unfinished ? roughly(queue.oldestSeconds) : "–"),
    fact(say("oldestWait"), queue.oldestWaitSeconds === null ? "–" : roughly(queue.oldestWaitSeconds)),
    fact(say("newTaskWaits"), queue.estimatedWaitMs === null ? "–" : about(queue.estimatedWaitMs)),
  );
}

function showGate(gate) {
  $("gate").hidden = !gate;
  if (!gate) return;
  badge("gate-state", language.words.gateState[gate.state], { closed: "good", open: "bad" }[gate.state] ?? "wait");
  const { limits, reason } = gate;
  const of = (count, limit) => (limit === null ? number(count) : `${number(count)} / ${number(limit)}`);
  const facts = [
    reason && fact(say("why"), `${reason.message} (${reason.code})`),
    gate.until && fact(say("until"), moment(gate.until)),
    fact(say("inFlight"), of(gate.inFlight, limits.inFlight)),
    fact(say("waiting"), number(gate.waiting)),
    gate.createsPerMinute !== null && fact(say("perMinute"), of(Math.round(gate.createsPerMinute), limits.createsPerMinute)),
    gate.failures > 0 && fact(say("failures"), number(gate.failures)),
  ];
  $("gate-facts").replaceChildren(...facts.filter(Boolean));
}

const about = (ms) => say("about", roughly(Math.ceil(ms / 1000)));

function badge(id, text, tone) {
  $(id).textContent = text;
  $(id).dataset.tone = tone;
}
