/** Each prediction that a task was spoken with: what it took, and what became of it. */

import { language, say } from "./dashboard-words.js";
import { $, element } from "./element.js";
import { FINAL } from "./statuses.js";
import { clock } from "./timeline.js";

const GIVEN_UP = new Set(["waiting_retry", "retrying", ...FINAL]);

/** From a task's updates: `{ id, segment, attempt, began, predictTime, duration, result }`, in order. */
export function predictionsOf(updates) {
  const predictions = [];
  const open = new Map(); // segment → its newest prediction
  for (const update of updates) {
    const { status, segment = 0 } = update;
    if (status === "prediction_created") {
      if (open.has(segment)) open.get(segment).result = "replaced";
      const prediction = { id: update.predictionId, segment, attempt: update.attempt, began: update.timestamp, result: "running" };
      open.set(segment, prediction);
      predictions.push(prediction);
    } else if (status === "downloading" && open.has(segment)) {
      open.get(segment).predictTime = update.predictTime;
    } else if (status === "download_complete" && open.has(segment)) {
      Object.assign(open.get(segment), { duration: update.duration, result: "done" });
      open.delete(segment);
    } else if (GIVEN_UP.has(status)) {
      for (const prediction of open.values()) prediction.result = "replaced";
      open.clear();
    }
  }
  return predictions;
}

export function showPredictions(updates) {
  const predictions = predictionsOf(updates);
  const long = updates.some(({ segments }) => segments > 1);
  $("no-predictions").hidden = predictions.length > 0;
  $("predictions").hidden = !predictions.length;
  $("predictions").classList.toggle("short", !long);
  $("predictions").tBodies[0].replaceChildren(...predictions.map(row));
}

function row({ id, segment, attempt, began, predictTime, duration, result }) {
  const line = element("tr");
  line.dataset.result = result;
  const seconds = (value) => (value === undefined ? "–" : say("seconds", value.toFixed(1)));
  const name = element("th");
  name.scope = "row";
  name.append(element("code", "", id));
  const cells = [segment + 1, attempt ?? 1, clock(began).slice(0, 8), seconds(predictTime), seconds(duration), language.words.results[result]];
  line.append(name, ...cells.map((text) => element("td", "", text)));
  line.cells[1].className = "part";
  return line;
}
