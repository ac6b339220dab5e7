// The same front for all peers in JavaScript: Express takes a request for speech, `store` keeps it.
import { randomUUID } from 'node:crypto';
import express from 'express';

export function serve(port, store) {
  const app = express();
  app.use(express.json());
  app.post('/api/tts', async (request, response) => {
    const taskId = randomUUID();
    const { templateId, tts_text: text } = request.body;
    if (typeof templateId !== 'string' || typeof text !== 'string') {
      response.status(400).json({ success: false, error: 'templateId and tts_text are needed' });
      return;
    }
    await store({ taskId, templateId, text });
    response.status(202).json({ success: true, data: { taskId, status: 'started' } });
  });
  app.listen(port, '127.0.0.1');
}
