/** What happened to one task: how long each status lasted, and how much of a long text is spoken. */

import { element } from "./element.js";
import { OF_A_PART } from "./statuses.js";

const CLOCK = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
});
export const clock = (time) => CLOCK.format(new Date(time));
export const lasted = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`);

/** How much of a long text is spoken; a snapshot tells a number, updates tell which. */
export function progress({ updates, hearing }) {
  const total = Math.max(...updates.map(({ segments }) => segments ?? 1));
  const parts = Array.from({ length: total }, () => "waiting");
  for (const { status, segment, segments, segmentsDone } of updates) {
    if (segments > 1 && OF_A_PART.has(status) && segment !== undefined) {
      parts[segment] = status === "download_complete" ? "done" : "running";
    }
    if (segmentsDone) parts.fill("done", 0, segmentsDone);
    if (status === "succeeded") parts.fill("done");
  }
  return { parts, done: parts.filter((part) => part === "done").length, total, hearing };
}

/** The timeline's lines in the page's `language`; they are drawn to scale once the `total` time in ms is known. */
export function lines(updates, total, language) {
  return rows(updates).map((row) => step(row, updates[0], total, language));
}

/** One row for each update, but for each part of a long text only one until something else happens. */
function rows(updates) {
  const timeline = [];
  let open = new Map();
  updates.forEach((update, index) => {
    const ofPart = update.segments > 1 && OF_A_PART.has(update.status) && !update.snapshot;
    if (!ofPart) {
      if (!OF_A_PART.has(update.status)) open = new Map();
      timeline.push({ first: update, update, next: updates[index + 1] });
    } else if (open.has(update.segment)) {
      open.get(update.segment).update = update;
    } else {
      const row = { first: update, update, part: update.segment };
      open.set(update.segment, row);
      timeline.push(row);
    }
  });
  for (const row of timeline) {
    if (row.part !== undefined && row.update.status === "download_complete") row.next = row.update;
  }
  return timeline;
}

/** A row of the timeline on the page. */
function step({ first, update, next, part }, start, total, language) {
  const say = (name, ...values) => language.say(name, ...values);
  const line = element("li");
  line.dataset.status = update.status;
  line.dataset.position = update.position;
  const track = element("span", "bar-track");
  const began = Date.parse(first.timestamp);
  const took = next && Date.parse(next.timestamp) - began;
  if (total && next) {
    const bar = element("span");
    bar.style.setProperty("--from", `${(100 * (began - Date.parse(start.timestamp))) / total}%`);
    bar.style.setProperty("--share", `${(100 * took) / total}%`);
    track.append(bar);
  }
  const status = (update.dismissed && say("dismissed")) || (update.erased && say("erased")) || language.status(update.status);
  if (part !== undefined) line.dataset.segment = part;
  const time = element("time", "", clock(update.timestamp));
  time.dateTime = update.timestamp;
  line.append(
    element("span", "", part === undefined ? status : `${say("part", part + 1)} · ${status}`),
    track,
    element("span", "took", next ? lasted(took) : ""),
    time,
  );
  const notes = [
    update.attempt > 1 && say("nthAttempt", update.attempt),
    update.retryAt && say("retryAt", clock(update.retryAt).slice(0, 8)),
    next && [update.error, update.code && `(${update.code})`].filter(Boolean).join(" "),
    update.by && say("by", [update.by, update.reason].filter(Boolean).join(": ")),
    part === undefined && update.predictionId,
    update.suspectTruncation && say("truncated"),
    update.suspectAudio && say("noSpeech"),
    update.snapshot && say("snapshot"),
  ].filter(Boolean);
  if (notes.length) line.append(element("span", "note", notes.join(" · ")));
  return line;
}
