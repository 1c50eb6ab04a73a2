/** Owns one session in a thread of its own, and runs it over and over for as long as it is told. */
import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

import { InferenceSession } from 'onnxruntime-node';

import { nowMs } from '../clock.js';
import { cutSamples } from '../samples.js';
import { median } from '../statistics.js';
import { feedsOf } from './feeds.js';
import type { Layout, ThreadOrder, ThreadResult, ThreadSettings } from './protocol.js';

/** The second as the service opens its sessions: one thread each, which does not spin while it waits. */
const OPTIONS: Readonly<Record<Layout, InferenceSession.SessionOptions>> = {
  default: {},
  service: {
    graphOptimizationLevel: 'all',
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  },
};

const { layout, modelPath, output, examplePath } = workerData as ThreadSettings;
const samples = cutSamples(readFileSync(examplePath));
const session = await InferenceSession.create(modelPath, {
  executionProviders: ['cpu'],
  ...OPTIONS[layout],
});

parentPort?.on('message', (order: ThreadOrder) => {
  void run(order).then((result) => parentPort?.postMessage(result, []));
});

async function run({ batch, seconds }: ThreadOrder): Promise<ThreadResult> {
  const feeds = feedsOf(samples, batch);
  const startedAt = nowMs();
  const times: number[] = [];
  let scores: readonly number[] = [];
  for (let at = startedAt; at < startedAt + seconds * 1000 || times.length === 0;) {
    const results = await session.run(feeds, [output]);
    scores = Array.from(results[output]?.data as Float32Array);
    const endedAt = nowMs();
    times.push(endedAt - at);
    at = endedAt;
  }
  return {
    samples: times.length * batch,
    seconds: (nowMs() - startedAt) / 1000,
    runMs: median(times),
    scores,
  };
}
