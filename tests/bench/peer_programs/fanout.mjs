// Server-sent events as they are written in Express: a loop over all clients.
import express from 'express';

const app = express();
const clients = new Set();
let position = 0;
app.get('/events', (request, response) => {
  response.writeHead(200, {'content-type': 'text/event-stream', 'cache-control': 'no-cache'});
  response.write(': connected\n\n');
  clients.add(response);
  request.on('close', () => clients.delete(response));
});
app.post('/publish', express.text({type: '*/*'}), (request, response) => {
  const frame = `id: ${++position}\nevent: task_update\ndata: ${request.body}\n\n`;
  for (const client of clients) client.write(frame);
  response.sendStatus(202);
});
app.listen({port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096});
