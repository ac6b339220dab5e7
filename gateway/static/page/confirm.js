/** Asks before something is done that cannot be taken back. */

import { $ } from "./element.js";

/** Whether it shall be done; Escape is no. */
export function confirmed(title, text, go) {
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-go").textContent = go;
  $("ask").returnValue = "";
  $("ask").showModal();
  return new Promise((resolve) => {
    $("ask").addEventListener("close", () => resolve($("ask").returnValue === "go"), { once: true });
  });
}

$("ask-cancel").addEventListener("click", () => $("ask").close(""));
$("ask-go").addEventListener("click", () => $("ask").close("go"));
