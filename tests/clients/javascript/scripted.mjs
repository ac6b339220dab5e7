/** A service that does what a test tells it to, over real sockets. */
import { createServer } from "node:http";
import { once } from "node:events";

/** `routes` maps "GET /path" to a handler `(request, response, nth)`; nth counts from 1. */
export async function serve(routes) {
  const asked = [];
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://here");
    const route = `${request.method} ${url.pathname}`;
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = chunks.length ? JSON.parse(Buffer.concat(chunks)) : undefined;
    const seen = { route, query: url.searchParams, headers: request.headers, body };
    asked.push(seen);
    const nth = asked.filter((one) => one.route === route).length;
    (routes[route] ?? refuse)(seen, response, nth);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    asked: (route) => asked.filter((one) => one.route === route),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

function refuse(_request, response) {
  answer(response, 404, { success: false, error: "not scripted", code: "not_found" });
}

export function answer(response, status, body, headers = {}) {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

export const data = (response, value) => answer(response, 200, { success: true, data: value });

export function stream(response, ...frames) {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.write(frames.join(""));
}

const frame = (type, value, id) =>
  `${id === undefined ? "" : `id: ${id}\n`}event: ${type}\ndata: ${JSON.stringify(value)}\n\n`;

export const connected = (position, more = {}) =>
  frame("connected", { clientId: "c", position, ...more }, position);
export const heartbeat = (id) => frame("heartbeat", { position: id }, id);
export const reset = (position) =>
  frame("reset", { reason: "too_old", requested: "1", position }, position);
export const update = (position, status, taskId = "t", more = {}) =>
  frame("task_update", { taskId, status, position, ...more }, position);
export const RETRY_SOON = "retry: 20\n\n";
