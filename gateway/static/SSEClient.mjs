import "./SSEClient.js";
export const { TTSEventClient, TTSEventClient: { TTSError } } = globalThis;
export default TTSEventClient;
