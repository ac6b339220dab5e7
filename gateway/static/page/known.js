/** What is known now, and what is not: a block that cannot be read any more turns grey and says since when. */

import { clock, language, say } from "./dashboard-words.js";
import { $ } from "./element.js";

const LATE_SECONDS = 10; // behind the log: more than moments
const readAt = new Map(); // block → when it was read last, by this machine's clock
const behindSince = new Map(); // block → since when what it is read from stands still

/** The blocks were read just now. */
export function read(...blocks) {
  for (const block of blocks) {
    readAt.set(block, new Date());
    show(block, true);
  }
}

/** The blocks could not be read, or may not be. */
export function lost(...blocks) {
  for (const block of blocks) show(block, false);
}

/** What the blocks are read from stands still since a time; undefined: it does not. */
export function standsStill(since, ...blocks) {
  for (const block of blocks) {
    const stood = behindSince.delete(block);
    if (since) behindSince.set(block, since);
    // What was read before it went on is old.
    show(block, $(block).dataset.read === "yes" && (Boolean(since) || !stood));
  }
}

/** Since when one of the answers stands still; undefined if all have come up to moments ago. */
export function stillSince(...answers) {
  const seconds = Math.max(...answers.map(({ lag }) => lag?.seconds ?? Infinity)); // no lag: the log cannot be read
  if (seconds < LATE_SECONDS) return undefined;
  return new Date(Date.now() - (Number.isFinite(seconds) ? seconds * 1000 : 0));
}

export function showKnown() {
  for (const block of document.querySelectorAll("[data-known]")) show(block.id, block.dataset.read === "yes");
}

function show(id, isRead) {
  const block = $(id);
  block.dataset.read = isRead ? "yes" : "no";
  block.dataset.known = isRead && !behindSince.has(id) ? "yes" : "no";
  const since = behindSince.get(id) ?? readAt.get(id);
  const note = block.querySelector(".as-of");
  note.hidden = block.dataset.known === "yes";
  note.textContent = since ? say("asOf", clock(since)) : language.words.notRead;
}
