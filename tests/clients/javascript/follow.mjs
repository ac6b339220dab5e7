/**
 * Follows all tasks of a real service and prints each event as a line of JSON, until it is stopped.
 * Usage: node follow.mjs URL (client | eventsource | reconnecting-eventsource)
 */
import { EventSource } from "eventsource";
import ReconnectingEventSource from "reconnecting-eventsource";

import { TTSEventClient } from "../../../gateway/static/SSEClient.mjs";

const [baseUrl, kind] = process.argv.slice(2);
const print = (event, data) => console.log(JSON.stringify({ event, data }));

function follow() {
  if (kind === "client") return new TTSEventClient({ baseUrl, EventSource, minReconnectDelay: 100 });
  if (kind === "eventsource") return new EventSource(`${baseUrl}/events`);
  const options = { eventSourceClass: EventSource, max_retry_time: 300 };
  return new (ReconnectingEventSource.default ?? ReconnectingEventSource)(`${baseUrl}/events`, options);
}

const source = follow();
for (const type of ["connected", "task_update", "reset"]) {
  const read = (event) => (kind === "client" ? event : JSON.parse(event.data));
  source.addEventListener(type, (event) => print(type, read(event)));
}
source.connect?.();
