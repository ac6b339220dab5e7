/** Which tasks the list shows: chosen in a form, and kept in the page's address. */

import { language, say } from "./dashboard-words.js";
import { $ } from "./element.js";
import { WORDS } from "./statuses.js";

const TYPING_MS = 300;
const form = $("filters");
const names = [...form.elements].map(({ name }) => name).filter(Boolean);
const times = new Set(["since", "until"]);

/** The query that asks the service for them; undefined if all are shown. */
export function filtersQuery() {
  const chosen = values();
  for (const name of times) {
    if (chosen.has(name)) chosen.set(name, new Date(chosen.get(name)).toISOString());
  }
  return chosen.size ? chosen : undefined;
}

/** Calls `changed` whenever another choice is made, by hand or by the browser's history. */
export function followFilters(changed) {
  let timer;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const chosen = values();
      history.replaceState(null, "", chosen.size ? `?${chosen}` : location.pathname);
      changed();
    }, TYPING_MS);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => form.dispatchEvent(new Event("input"))));
  addEventListener("popstate", () => {
    readAddress();
    changed();
  });
}

/** The words of the form in the page's language. */
export function showFilters() {
  const { status } = form.elements;
  const { value } = status;
  status.replaceChildren(new Option(say("anyStatus"), ""), ...Object.keys(WORDS.en).map((name) => new Option(language.status(name), name)));
  status.value = value;
  $("clear-filters").hidden = !values().size;
}

function values() {
  const filled = names.map((name) => [name, form.elements[name].value.trim()]).filter(([, value]) => value);
  return new URLSearchParams(filled);
}

function readAddress() {
  const address = new URLSearchParams(location.search);
  for (const name of names) form.elements[name].value = address.get(name) ?? "";
  $("more-filters").open ||= names.slice(2).some((name) => address.has(name));
}

showFilters();
readAddress();
