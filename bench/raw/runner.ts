/** Owns the raw runner's process: the probe's ONNX file straight through onnxruntime-node, without HTTP, queue or checks. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

import { answerOrders } from '../processes/orders.js';
import { cutSamples } from '../samples.js';
import { median } from '../statistics.js';
import type { Layout, RawResult, RawTalk, ThreadOrder, ThreadResult, ThreadSettings } from './protocol.js';

const [modelPath = '', output = '', examplePath = ''] = process.argv.slice(2);
const exampleSamples = cutSamples(readFileSync(examplePath)).length;

function start(layout: Layout): Worker {
  const workerData: ThreadSettings = { layout, modelPath, output, examplePath };
  return new Worker(new URL('thread.js', import.meta.url), { workerData });
}

const threads: Readonly<Record<Layout, readonly Worker[]>> = {
  default: [start('default')],
  service: Array.from({ length: availableParallelism() }, () => start('service')),
};

answerOrders<RawTalk>(async (order) => {
  if (order.kind === 'scores') return runOn('default', 1, { batch: exampleSamples, seconds: 0 });
  const { layout, batch, seconds } = order;
  return runOn(layout, order.sessions ?? threads[layout].length, { batch, seconds });
});

async function runOn(layout: Layout, sessions: number, order: ThreadOrder): Promise<RawResult> {
  const results = await Promise.all(threads[layout].slice(0, sessions).map((thread) => ask(thread, order)));
  return {
    samplesPerSecond: results.reduce((sum, { samples, seconds }) => sum + samples / seconds, 0),
    samples: results.reduce((sum, { samples }) => sum + samples, 0),
    runMs: median(results.map(({ runMs }) => runMs)),
    scores: results[0]?.scores ?? [],
  };
}

/** @throws what ended the thread. */
async function ask(thread: Worker, order: ThreadOrder): Promise<ThreadResult> {
  const reply = once(thread, 'message');
  thread.postMessage(order, []);
  const [result] = (await reply) as [ThreadResult];
  return result;
}
