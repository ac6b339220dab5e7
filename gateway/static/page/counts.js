/** How many tasks there are in each status. */

import { language, number } from "./dashboard-words.js";
import { $, element, fact } from "./element.js";
import { lost, read } from "./known.js";
import { api, lately } from "./service.js";
import { GROUPS } from "./statuses.js";

let counts;

export const refreshCounts = lately(async () => {
  try {
    counts = (await api("GET", "api/stats")).tasks;
  } catch (error) {
    lost("counts");
    throw error;
  }
  read("counts");
  showCounts();
});

export function showCounts() {
  if (!counts) return;
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const groups = Object.entries(GROUPS).map(([group, statuses]) => [group, statuses.reduce((sum, status) => sum + counts[status], 0)]);
  $("totals").replaceChildren(
    ...groups.map(([group, count]) => {
      const tile = fact(language.words.groups[group], number(count));
      tile.dataset.group = group;
      return tile;
    }),
  );
  $("flow").replaceChildren(
    ...groups.filter(([, count]) => count).map(([group, count]) => {
      const part = element("span");
      part.dataset.group = group;
      part.style.setProperty("--share", total ? count / total : 0);
      return part;
    }),
  );
  $("statuses").replaceChildren(
    ...Object.entries(counts).map(([status, count]) => {
      const item = element("li", "", `${language.status(status)} `);
      item.append(element("b", "", number(count)));
      item.dataset.status = status;
      return item;
    }),
  );
}
