// Express + BullMQ, on a Redis that syncs each write.
import { Queue } from 'bullmq';
import { serve } from './front.mjs';

const [port, redis] = process.argv.slice(2);
const queue = new Queue('tasks', { connection: { host: '127.0.0.1', port: Number(redis) } });

serve(Number(port), (task) => queue.add('speak', task, { jobId: task.taskId }));
