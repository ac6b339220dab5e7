// Node 20 has no EventSource of its own, so it gets the one of npm "eventsource".
import { EventSource } from "eventsource";
import { TTSEventClient } from "./SSEClient.mjs";

TTSEventClient.EventSource = EventSource;
export { TTSEventClient, TTSError, default } from "./SSEClient.mjs";
