/** Asking for a key, saying why, and putting it away; what commands is shown to a key that may. */

import { language } from "./dashboard-words.js";
import { $ } from "./element.js";
import { session } from "./session.js";

let isForOperators = false;

/** Whether to ask by ourselves: a page that is left open with a wrong key must not lock its address out. */
export const mayAsk = () => session.news > 0 && session.state !== "connecting" && !problem();

/** The page shows what belongs to nobody alone: an app's key is too little. */
export function askForOperators() {
  isForOperators = true;
}

export function showSignIn() {
  const why = problem();
  const isAsked = $("key-form").hidden && why;
  $("key-form").hidden = !why;
  $("key-problem").hidden = !why || why === "keyNeeded";
  if (why && why !== "keyNeeded") $("key-problem").textContent = language.words[why];
  if (isAsked && document.activeElement === document.body) $("key").focus();
  $("sign-out").hidden = !session.key || Boolean(why);
  if (session.me) document.documentElement.dataset.commands = session.me.mayCommand ? "yes" : "no";
}

function problem() {
  return session.problem ?? (isForOperators && session.me?.mayOperate === false ? "keyTooLittle" : undefined);
}

session.addEventListener("change", showSignIn);
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  session.useKey($("key").value.trim());
});
$("sign-out").addEventListener("click", () => session.signOut());
