/** Asking for a key, saying why, and putting it away; what commands is shown to a key that may. */

import { language } from "./dashboard-words.js";
import { $ } from "./element.js";
import { session } from "./session.js";

let tooLittle; // a key that is good for other pages

/** Whether to ask by ourselves: a page that is left open with a wrong key must not lock its address out. */
export const mayAsk = () => session.news > 0 && session.state !== "connecting" && !problem();

/** The key is accepted, but not for what this page asks. */
export function askForMore(key) {
  tooLittle = { key };
  showSignIn();
}

export function showSignIn() {
  const why = problem();
  const isAsked = $("key-form").hidden && why;
  $("key-form").hidden = !why;
  $("key-problem").hidden = !why || why === "keyNeeded";
  if (why && why !== "keyNeeded") $("key-problem").textContent = language.words[why];
  if (isAsked && document.activeElement === document.body) $("key").focus();
  $("sign-out").hidden = !session.key || Boolean(why);
  if (session.commands !== undefined) document.documentElement.dataset.commands = session.commands ? "yes" : "no";
}

function problem() {
  return session.problem ?? (tooLittle && tooLittle.key === session.key ? "keyTooLittle" : undefined);
}

session.addEventListener("change", showSignIn);
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  tooLittle = undefined;
  session.useKey($("key").value);
});
$("sign-out").addEventListener("click", () => session.signOut());
