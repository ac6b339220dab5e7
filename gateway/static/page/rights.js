/** What the key of this tab may do, and putting it away. */

import { api, apiKey, forgetKey } from "./service.js";
import { $ } from "./element.js";

/** Shows what commands (the class `command`) only to a key that may: asked for once the key has been accepted. */
export async function showRights() {
  const rights = document.documentElement.dataset;
  $("sign-out").hidden = !apiKey();
  try {
    await api("POST", "api/stream-token", { scope: "command" }); // not used: whether it is granted is the answer
    rights.commands = "yes";
  } catch (error) {
    if (error.status === 403) rights.commands = "no"; // whatever else keeps it from being known leaves it as it was
  }
}

$("sign-out").addEventListener("click", () => {
  forgetKey();
  location.reload(); // nothing of what was seen stays
});
