export * from "./SSEClient.js";
export { TTSEventClient as default } from "./SSEClient.js";
