/** The raw runner: the probe's ONNX file in plain onnxruntime-node, without HTTP, queue or checks. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

import { answerCalls } from '../processes/child.js';
import type { Layout, RawCall, RawResult, ThreadData, ThreadRequest } from '../protocol.js';
import { cutSamples } from '../samples.js';
import { median } from '../statistics.js';

const [modelPath = '', examplePath = ''] = process.argv.slice(2);
const exampleSamples = cutSamples(readFileSync(examplePath)).length;

function start(layout: Layout): Worker {
  const workerData: ThreadData = { layout, modelPath, examplePath };
  return new Worker(new URL('thread.js', import.meta.url), { workerData });
}

const threads: Readonly<Record<Layout, readonly Worker[]>> = {
  default: [start('default')],
  narrow: Array.from({ length: availableParallelism() }, () => start('narrow')),
};

answerCalls<RawCall>(async (request) => {
  if (request.kind === 'scores') return runOn('default', 1, { batch: exampleSamples, seconds: 0 });
  const { layout, batch, seconds } = request;
  return runOn(layout, request.sessions ?? threads[layout].length, { batch, seconds });
});

async function runOn(layout: Layout, sessions: number, request: ThreadRequest): Promise<RawResult> {
  const results = await Promise.all(
    threads[layout].slice(0, sessions).map((thread) => runIn(thread, request)),
  );
  return {
    samplesPerSecond: results.reduce((sum, { samplesPerSecond }) => sum + samplesPerSecond, 0),
    samples: results.reduce((sum, { samples }) => sum + samples, 0),
    runMs: median(results.map(({ runMs }) => runMs)),
    scores: results[0]?.scores ?? [],
  };
}

/** @throws the error that ended the thread. */
async function runIn(thread: Worker, request: ThreadRequest): Promise<RawResult> {
  const reply = once(thread, 'message');
  thread.postMessage(request, []);
  const [result] = (await reply) as [RawResult];
  return result;
}
