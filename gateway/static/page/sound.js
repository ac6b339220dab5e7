/** The audio of one task: to hear, to see, and to keep. */

import { $, element } from "./element.js";
import { audioSource, report } from "./service.js";
import { Waveform } from "./waveform.js";

const STALE_MS = 60_000; // a token for an audio is good for minutes: one that is older may be the reason

const player = $("player");
const waveform = new Waveform($("waveform"), player);
let shown; // the URL that is played
let loadedAt;

/** `url` is undefined for a task that has no audio, or none any more. */
export async function showSound(url) {
  $("sound").hidden = !url;
  if (url === shown) return;
  shown = url;
  player.pause();
  player.removeAttribute("src");
  if (!url) return;
  try {
    await waveform.load(await load());
  } catch (error) {
    report(error);
  }
}

async function load() {
  const playable = await audioSource(shown);
  loadedAt = Date.now();
  player.src = playable;
  return playable;
}

player.addEventListener("error", async () => {
  if (!shown || Date.now() - loadedAt < STALE_MS) return;
  const { currentTime } = player;
  await load().catch(report);
  player.currentTime = currentTime;
  player.play().catch(() => {}); // a browser may want a click first
});

$("download").addEventListener("click", async () => {
  try {
    const link = element("a");
    link.href = await audioSource(shown);
    link.download = decodeURIComponent(new URL(shown, document.baseURI).pathname.split("/").at(-1));
    link.click();
  } catch (error) {
    report(error);
  }
});
