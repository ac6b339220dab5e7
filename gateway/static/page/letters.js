/** The dead letters: what could not be spoken, to look at, retry and dismiss. */

import { refreshCounts } from "./counts.js";
import { clock, language, moment, number, say } from "./dashboard-words.js";
import { $, element, taskLink } from "./element.js";
import { advice } from "./failures.js";
import { lost, read } from "./known.js";
import { api, clearProblem, lately, report } from "./service.js";

const PAGE = 20;
const MOST = 200; // on the page

const opened = new Map(); // task id → details of a letter that is unfolded
let code; // the error code that is looked at
let length = PAGE;
let page; // as it was read last
let choice; // what is to be done to all, while the reason is asked for

export const refreshLetters = lately(async () => {
  try {
    page = await readPage();
  } catch (error) {
    lost("letters-card");
    throw error;
  }
  read("letters-card");
  showLetters();
});

async function readPage() {
  const query = new URLSearchParams({ limit: Math.min(length, MOST) });
  const all = await api("GET", `api/dead-letters?${query}`);
  if (code && !(code in all.counts)) code = undefined;
  if (code) query.set("code", code);
  return code ? { ...(await api("GET", `api/dead-letters?${query}`)), counts: all.counts, all: all.total } : { ...all, all: all.total };
}

export function showLetters() {
  if (!page) return;
  $("letters-total").textContent = number(page.all ?? page.total);
  $("no-letters").hidden = page.total > 0;
  $("bulk").hidden = $("codes").hidden = !page.total;
  $("retry-all").textContent = say("retryAll", code ?? number(page.total));
  $("dismiss-all").textContent = say("dismissAll", code ?? number(page.total));
  $("codes").replaceChildren(
    chip(undefined, say("all")),
    ...Object.entries(page.counts).map(([name, count]) => chip(name, `${name} · ${number(count)}`)),
  );
  const items = new Map([...$("letters").children].map((item) => [item.dataset.taskId, item]));
  const letters = page.deadLetters.map((letter) => fill(items.get(letter.taskId) ?? addLetter(letter.taskId), letter));
  const there = $("letters").children;
  // Taken out and put back, a button would lose its focus, and the click that is being made on it.
  if (letters.length !== there.length || letters.some((item, n) => item !== there[n])) $("letters").replaceChildren(...letters);
  $("more").hidden = !page.nextCursor || length >= MOST;
}

function chip(name, label) {
  const button = element("button", "", label);
  button.type = "button";
  button.setAttribute("aria-pressed", String(code === name));
  button.addEventListener("click", () => {
    code = name;
    length = PAGE;
    refreshLetters();
  });
  return button;
}

function addLetter(taskId) {
  const item = $("letter").content.firstElementChild.cloneNode(true);
  item.dataset.taskId = taskId;
  const open = item.querySelector(".open");
  for (const what of ["retry", "dismiss"]) {
    const button = item.querySelector(`.${what}`);
    button.addEventListener("click", () => work(button, what, { taskIds: [taskId] }, say("fromHere")));
  }
  open.addEventListener("click", async () => {
    if (opened.delete(taskId)) return showDetails(item);
    try {
      opened.set(taskId, await api("GET", `api/dead-letters/${encodeURIComponent(taskId)}`));
    } catch (error) {
      report(error);
    }
    return showDetails(item);
  });
  return item;
}

function fill(item, letter) {
  const part = (selector) => item.querySelector(selector);
  item.dataset.permanent = letter.permanent;
  item.dataset.code = letter.code;
  part(".badge").textContent = letter.code;
  part(".said").textContent = letter.error;
  const facts = [
    moment(letter.failedAt), letter.step, letter.templateId, say("attempts", letter.attempts),
    say("paid", letter.predictions), say("characters", letter.textLength), letter.permanent && say("permanent"), letter.owner,
  ];
  part(".meta").textContent = facts.filter(Boolean).join(" · ");
  part(".buttons a").textContent = say("taskPage");
  part(".buttons a").href = taskLink(letter.taskId).href;
  part(".retry").textContent = say("retry");
  part(".dismiss").textContent = say("dismiss");
  showDetails(item);
  return item;
}

function showDetails(item) {
  const letter = opened.get(item.dataset.taskId);
  const details = item.querySelector(".details");
  details.hidden = !letter;
  item.querySelector(".open").setAttribute("aria-expanded", String(!!letter));
  if (!letter) return;
  const story = element("ol");
  for (const event of letter.events) {
    const line = element("li");
    const status = event.dismissed ? say("dismissed") : language.status(event.status);
    const note = [event.predictionId, event.error, event.by && `${event.by}: ${event.reason ?? ""}`].filter(Boolean);
    line.append(element("time", "", clock(event.timestamp)), element("span", "", status), element("span", "", note.join(" · ")));
    story.append(line);
  }
  const known = advice(letter.code, language.code, showLetters);
  const help = element("p", "advice", known ? say("advice", known.meaning, known.action) : "");
  details.replaceChildren(help, element("p", "", letter.ttsText ?? say("erased")), story, element("code", "", letter.taskId));
}

/** The service does as much as one request has time for; `next` says where to go on. */
async function work(button, what, letters, reason) {
  const [order, done] = what === "retry" ? ["redrive", "redriven"] : ["dismiss", "dismissed"];
  clearProblem();
  button.disabled = true;
  const sum = { done: 0, skipped: 0 };
  try {
    let cursor;
    do {
      const answer = await api("POST", `api/dead-letters/${order}`, { ...letters, reason, cursor });
      sum.done += answer[done];
      sum.skipped += answer.skipped;
      cursor = answer.next ?? undefined;
      $("progress").textContent = cursor ? say("working", number(sum.done), number(answer.remaining)) : say("done", number(sum.done), number(sum.skipped));
      $("progress").hidden = false;
    } while (cursor);
  } catch (error) {
    report(error);
  } finally {
    button.disabled = false;
    refreshLetters();
    refreshCounts();
  }
}

function ask(what) {
  choice = what;
  $("ask-title").textContent = say(what === "retry" ? "askRetry" : "askDismiss", `${number(page.total)}${code ? ` · ${code}` : ""}`);
  $("ask-go").textContent = say(what);
  $("reason").value = "";
  $("ask").showModal();
}

for (const what of ["retry", "dismiss"]) $(`${what}-all`).addEventListener("click", () => ask(what));
$("ask-cancel").addEventListener("click", () => $("ask").close());
$("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("ask").close();
  // Only what failed up to now: what fails while it is asked for was not seen by anybody.
  const filter = { code, until: new Date().toISOString() };
  work($(`${choice}-all`), choice, { filter }, $("reason").value);
});
$("more").addEventListener("click", () => {
  length += PAGE;
  refreshLetters();
});
