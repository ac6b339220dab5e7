export * from "./SSEClient.js";
export { default } from "./SSEClient.js";
