/** How it goes in numbers: throughput now, the last 24 hours, and what today costs. */

import { language, number, say } from "./dashboard-words.js";
import { $, element } from "./element.js";
import { lost, read, standsStill, stillSince } from "./known.js";
import { api, lately } from "./service.js";
import { sparkline } from "./sparkline.js";

const HOUR_MS = 3_600_000;
const HOURS = 24;
const MINUTE_MS = 60_000;
const MINUTES = 5; // whole ones, whose throughput is that of now
const OWNERS = 200; // in one answer
const ANSWERS = 10; // with more owners than fit, what today costs is not known

let figures;

export const refreshFigures = lately(async () => {
  try {
    figures = await readFigures();
  } catch (error) {
    lost("figures");
    throw error;
  }
  standsStill(figures.stillSince, "figures");
  read("figures");
  showFigures();
});

/** Hours of the last day, and minutes of the last hour, by the clock of the service. */
async function readFigures() {
  const series = (span) => api("GET", `api/stats/series?span=${span}`);
  const [day, minutes, usage] = await Promise.all([series("hour"), series("minute"), readUsage()]);
  return { hours: spans(day, HOUR_MS, HOURS), perMinute: throughput(minutes), stillSince: stillSince(day, usage), ...usage };
}

/** `cost` is null without a price; sums are undefined with too many owners. */
async function readUsage() {
  let cost = null;
  let predictSeconds = 0;
  let page = {};
  for (let answers = 0; answers < ANSWERS; answers += 1) {
    const query = new URLSearchParams({ days: 1, limit: OWNERS, ...(page.nextCursor && { cursor: page.nextCursor }) });
    page = await api("GET", `api/usage?${query}`);
    for (const day of page.owners.flatMap(({ days }) => days)) {
      predictSeconds += day.predictSeconds;
      if (day.cost !== null) cost = (cost ?? 0) + day.cost;
    }
    if (!page.nextCursor) return { cost, predictSeconds, lag: page.lag };
  }
  return { lag: page.lag };
}

/** The last `count` spans up to the one that the service's clock is in; those with no point are empty. */
function spans({ points, until }, length, count) {
  const byStart = new Map(points.map((point) => [Date.parse(point.start), point]));
  const last = Math.floor(Date.parse(until) / length) * length;
  return Array.from({ length: count }, (_, n) => {
    const start = last - (count - 1 - n) * length;
    return { start, ...(byStart.get(start) ?? { accepted: 0, succeeded: 0, failed: 0, canceled: 0, total: null }) };
  });
}

/** Tasks that ended in a minute; the minute that is not over is left out. */
function throughput(minutes) {
  const whole = spans(minutes, MINUTE_MS, MINUTES + 1).slice(0, MINUTES);
  return whole.reduce((sum, { succeeded, failed, canceled }) => sum + succeeded + failed + canceled, 0) / MINUTES;
}

export function showFigures() {
  if (!figures) return;
  const { hours, perMinute, cost, predictSeconds } = figures;
  const sum = (name) => hours.reduce((total, hour) => total + hour[name], 0);
  const over = sum("succeeded") + sum("failed");
  const seconds = (value) => say("seconds", rounded(value));
  const slowest = hours.findLast(({ total }) => total)?.total.p95;
  const percent = new Intl.NumberFormat(language.code, { style: "percent", maximumFractionDigits: 1 });
  // Not rounded up: with one failure in a million not all has succeeded.
  const rate = over && Math.floor((1000 * sum("succeeded")) / over) / 1000;
  const count = (name) => bars(name, (hour) => hour[name], number);
  $("figure-list").replaceChildren(
    tile("throughput", "", say("aMinute", rounded(perMinute)), say("lastMinutes", MINUTES)),
    tile("accepted", "", number(sum("accepted")), say("lastDay"), count("accepted")),
    tile("succeededDay", "succeeded", number(sum("succeeded")), over ? percent.format(rate) : say("lastDay"), count("succeeded")),
    tile("failedDay", "failed", number(sum("failed")), say("lastDay"), count("failed")),
    tile("slowest", "", slowest === undefined ? "–" : seconds(slowest), say("p95"), bars("slowest", ({ total }) => total?.p95 ?? null, seconds)),
    spend(cost, predictSeconds),
  );
  showTable(hours, seconds);
}

function bars(name, valueOf, write) {
  const all = figures.hours.map((hour) => {
    const value = valueOf(hour);
    return { name: hourName(hour.start), value, text: value === null ? "–" : write(value) };
  });
  const highest = all.reduce((most, bar) => ((bar.value ?? 0) > (most.value ?? 0) ? bar : most));
  const text = highest.value ? say("sparkline", highest.text, highest.name) : say("noneInADay");
  return sparkline(all, `${say(name === "succeeded" || name === "failed" ? `${name}Day` : name)}, ${say("lastDay")}`, text);
}

function tile(name, group, value, note, picture) {
  const line = element("div");
  line.dataset.figure = name;
  if (group) line.dataset.group = group;
  const answer = element("dd", "", value);
  answer.append(element("small", "", note));
  line.append(element("dt", "", say(name)), answer);
  if (picture) answer.append(picture);
  return line;
}

/** What today (UTC) costs, or where no price is set what is paid for. */
function spend(cost, predictSeconds) {
  const known = typeof cost === "number";
  const money = new Intl.NumberFormat(language.code, { minimumFractionDigits: 2, maximumFractionDigits: cost < 1 ? 4 : 2 });
  const seconds = predictSeconds === undefined ? "–" : say("seconds", number(Math.round(predictSeconds)));
  return tile("spend", "", known ? money.format(cost) : seconds, say(known ? "spendNote" : "secondsNote"));
}

function showTable(hours, seconds) {
  const rows = hours.toReversed().map(({ start, accepted, succeeded, failed, total }) => {
    const line = element("tr");
    const name = element("th", "", hourName(start));
    name.scope = "row";
    const cells = [number(accepted), number(succeeded), number(failed), total ? seconds(total.p95) : "–"];
    line.append(name, ...cells.map((text) => element("td", "number", text)));
    return line;
  });
  $("figure-table").tBodies[0].replaceChildren(...rows);
}

const rounded = (value) => number(value < 10 ? Math.round(value * 10) / 10 : Math.round(value));
const hourName = (start) =>
  new Date(start).toLocaleString(language.code, { weekday: "short", hour: "2-digit", minute: "2-digit", hour12: false });
