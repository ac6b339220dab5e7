/** What the service stands on: its parts, what runs here, and the gate to Replicate. */

import { language, moment, number, say } from "./dashboard-words.js";
import { $, element, fact } from "./element.js";
import { api } from "./service.js";

let health;
let system;

export async function refreshSystem() {
  const answers = await Promise.allSettled([api("GET", "health"), api("GET", "system")]);
  health = answers[0].value;
  if (answers[1].value) system = answers[1].value;
  showSystem();
}

export function showSystem() {
  showHealth();
  if (!system) {
    $("system").replaceChildren(fact(say("noRights"), ""));
    return;
  }
  const { kind, store, queue, audio } = system.deployment;
  $("system").replaceChildren(
    fact(say("version"), system.version), fact(say("deployment"), kind), fact(say("store"), store), fact(say("queue"), queue),
    fact(say("audio"), audio), fact(say("uptime"), lasted(system.uptimeSeconds)), fact(say("position"), number(system.position)),
    fact(say("streams"), number(system.streams)),
  );
  showGate(system.gate);
}

function showHealth() {
  if (!health) {
    badge("health", say("unhealthy"), "bad");
    return;
  }
  const healthy = health.status === "ok";
  badge("health", say(healthy ? "healthy" : "unhealthy"), healthy ? "good" : "bad");
  $("parts").replaceChildren(
    ...Object.entries(health.parts).map(([name, state]) => {
      const item = element("li", "", "");
      item.dataset.ok = state === "ok";
      item.append(document.createTextNode(language.words[name] ?? name), element("span", "", state));
      return item;
    }),
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

function badge(id, text, tone) {
  $(id).textContent = text;
  $(id).dataset.tone = tone;
}

function lasted(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const at = units.findIndex(([, size]) => seconds >= size);
  let rest = Math.floor(seconds);
  return (at < 0 ? [["s", 1]] : units.slice(at, at + 2)).map(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return `${count} ${unit}`;
  }).join(" ");
}
