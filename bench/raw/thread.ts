/** A thread with one session, which it runs repeatedly for the requested time. */
import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

import { InferenceSession } from 'onnxruntime-node';

import { nowMs } from '../machine.js';
import type { Layout, RawResult, ThreadData, ThreadRequest } from '../protocol.js';
import { bytesOf, cutSamples, firstTokens, joinTensors, usedTokens } from '../samples.js';
import { median } from '../statistics.js';

/** `narrow`: a thread that does not spin while it waits. */
const OPTIONS: Readonly<Record<Layout, InferenceSession.SessionOptions>> = {
  default: {},
  narrow: {
    graphOptimizationLevel: 'all',
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  },
};

/** The types of ONNX Runtime by dtype; F16 as its bits. */
const ARRAYS = {
  F16: { type: 'float16', from: (memory: ArrayBuffer) => new Uint16Array(memory) },
  F32: { type: 'float32', from: (memory: ArrayBuffer) => new Float32Array(memory) },
  U8: { type: 'uint8', from: (memory: ArrayBuffer) => new Uint8Array(memory) },
  I64: { type: 'int64', from: (memory: ArrayBuffer) => new BigInt64Array(memory) },
} as const;

const { layout, modelPath, examplePath } = workerData as ThreadData;
const samples = cutSamples(readFileSync(examplePath));
const session = await InferenceSession.create(modelPath, {
  executionProviders: ['cpu'],
  ...OPTIONS[layout],
});
const [output = ''] = session.outputNames;

parentPort?.on('message', (request: ThreadRequest) => {
  void run(request).then((result) => parentPort?.postMessage(result, []));
});

async function run({ batch, seconds }: ThreadRequest): Promise<RawResult> {
  const feeds = feedsOf(batch);
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
  const done = times.length * batch;
  const samplesPerSecond = (done * 1000) / (nowMs() - startedAt);
  return { samples: done, samplesPerSecond, runMs: median(times), scores };
}

/** The inputs of a run: the samples without padding, as the service runs them, repeated until the batch is full. */
function feedsOf(batch: number): InferenceSession.FeedsType {
  const tokens = Math.max(...samples.map(usedTokens));
  const cut = samples.map((sample) => firstTokens(sample, tokens));
  const chosen = Array.from({ length: batch }, (_, index) => cut.at(index % cut.length)).filter(
    (sample) => sample !== undefined,
  );
  const feeds = Object.entries(joinTensors(chosen)).map(([name, tensor]) => {
    if (!isGraphDtype(tensor.dtype)) throw new TypeError(`no graph takes ${name} as ${tensor.dtype}`);
    const { type, from } = ARRAYS[tensor.dtype];
    const data = from(Uint8Array.from(bytesOf(tensor)).buffer);
    // Plain objects: a float16 Tensor is broken on Node 24 and later (microsoft/onnxruntime#26791).
    return [name, { type, dims: tensor.shape, data, location: 'cpu' }];
  });
  return Object.fromEntries(feeds) as InferenceSession.FeedsType;
}

function isGraphDtype(dtype: string): dtype is keyof typeof ARRAYS {
  return Object.hasOwn(ARRAYS, dtype);
}
