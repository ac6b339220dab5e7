// Takes jobs and says when it began each: one line with the task's id and the time in seconds.
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'bullmq';

const [redis, milliseconds] = process.argv.slice(2).map(Number);
const worker = new Worker(
  'tasks',
  async (job) => {
    process.stdout.write(`${job.id} ${(performance.timeOrigin + performance.now()) / 1000}\n`);
    await pause(milliseconds);
  },
  { connection: { host: '127.0.0.1', port: redis }, concurrency: 16 },
);
await worker.waitUntilReady();
process.stdout.write('ready\n');
