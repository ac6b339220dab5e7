// Express + amqplib: persistent messages into a durable quorum queue; each answer waits for its confirm.
import amqplib from 'amqplib';
import { serve } from './front.mjs';

const [port, url] = process.argv.slice(2);
const connection = await amqplib.connect(url);
const channel = await connection.createConfirmChannel();
await channel.assertQueue('tasks', { durable: true, arguments: { 'x-queue-type': 'quorum' } });

serve(Number(port), (task) => new Promise((resolve, reject) => {
  const body = Buffer.from(JSON.stringify(task));
  const confirmed = (error) => (error ? reject(error) : resolve());
  channel.sendToQueue('tasks', body, { persistent: true, messageId: task.taskId }, confirmed);
}));
