/** Compiled, not run: the declarations fit how an app uses the client. */
import TTSClient, { TTSError, TTSEventClient, type Task, type TaskUpdate } from "../../../gateway/static/SSEClient.mjs";
import { TTSEventClient as Required } from "../../../gateway/static/SSEClient.js";
import { EventSource } from "eventsource";

const options = { baseUrl: "https://tts.example.com", apiKey: "key", EventSource };
const client: TTSEventClient = new TTSClient(options);
new Required({ getToken: async () => ({ token: "t", expiresAt: "2025-01-31T12:00:00Z" }) });

export async function use(signal: AbortSignal): Promise<string | null | undefined> {
  await client.connect();
  const show = (update: TaskUpdate): void => console.log(update.status, update.error?.length);
  const ended = (update: TaskUpdate): true | undefined => update.erased ?? update.dismissed;
  const since = (task: Task): string | undefined => task.erasedAt ?? task.dismissedAt;
  client.addEventListener("task_update", async (update) => {
    if (ended(update)) console.log(since(await client.getTask(update.taskId)));
  });
  client.addEventListener("task_update", show);
  client.addEventListener("error", (error) => console.log(error.code, error.transient));
  client.addEventListener("reset", ({ position }) => position.toFixed());
  client.removeEventListener("task_update", show);
  // @ts-expect-error -- there is no such event
  client.addEventListener("progress", () => undefined);
  // @ts-expect-error -- the text is missing
  await client.generateAudio({ templateId: "template1" });
  const { taskId } = await client.generateAudio({ templateId: "t", tts_text: "你好", wait: 5 });
  // @ts-expect-error -- there is no such priority
  await client.generateAudio({ templateId: "t", tts_text: "你好", priority: "urgent" });
  // @ts-expect-error -- nor such a format
  await client.generateAudio({ templateId: "t", tts_text: "你好", format: "flac" });
  const playable: string = await client.audioSource("https://tts.example.com/audio/a.wav");
  console.log(playable);
  for await (const { url, segment, segments } of client.audioParts(taskId, { timeout: 5_000, signal })) {
    console.log(url.length, segment + 1, segments);
  }
  try {
    return (await client.waitFor(taskId, { timeout: 5_000, signal })).audioUrl;
  } catch (error) {
    if (error instanceof TTSError && error.code === "timeout") await client.cancel(taskId);
    else await client.retryAudio({ taskId });
    return (await client.getTask(taskId)).error;
  }
}
