/** Tests that malformed bodies of every kind are refused as the client's mistake and affect no other request. */
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { locateRequest } from '../../src/probe/decision-point.js';
import { BatchMemory } from '../../src/engine/worker/batch-memory.js';
import { type RunnableGraph, runBatch } from '../../src/engine/worker/batch-runner.js';
import { layoutOf } from '../../src/engine/worker/input-layout.js';
import { problemOf } from '../../src/engine/worker/protocol.js';
import { sliceOf } from '../../src/engine/worker/sample-slice.js';
import { ProblemError } from '../../src/errors.js';
import { checkTensors } from '../../src/probe/check-request.js';
import { decodeSafetensors } from '../../src/wire/safetensors.js';
import { LIMITS, startRealApp, testManifest } from '../support/app.js';
import { ask, underLoad } from '../support/load.js';
import { type Malformed, malformed } from '../support/malformed.js';
import { memoryInUse } from '../support/memory.js';

const CHECKED = 10_000;
const SENT = 500;
const MOST_GROWTH_BYTES = 8 * 1024 * 1024;
const CLIENT_MISTAKES = new Set([400, 422]);

const manifest = testManifest();
const layouts = manifest.inputs.map(layoutOf);
const memory = new BatchMemory();
/** Gives each body that passes the checks one score per sample. */
const session: RunnableGraph['session'] = {
  run: async ({ timestep }) => new Float32Array(timestep?.data.length ?? 0),
};

/** Takes a body through all checks up to the graph, without threads. @throws {ProblemError} */
async function check(body: Buffer): Promise<void> {
  const decoded = decodeSafetensors(new Uint8Array(body).buffer);
  const { timesteps } = checkTensors(decoded, manifest, LIMITS.maxSamplesPerRequest);
  locateRequest(manifest, timesteps, { step: undefined, totalSteps: undefined });
  const [result] = await runBatch([sliceOf(decoded)], { layouts, session }, memory);
  if (result && 'fault' in result) throw problemOf(result.fault);
}

test(`${CHECKED} malformed bodies of every kind are all refused as the client’s mistake`, async () => {
  const kinds = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(malformed(LIMITS.maxSamplesPerRequest), async ({ kind, body }) => {
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      await assert.rejects(
        () => check(body),
        (error) => error instanceof ProblemError && CLIENT_MISTAKES.has(error.status),
        kind,
      );
    }),
    { numRuns: CHECKED },
  );
  assert.equal(kinds.size, 19);
});

test(`${SENT} of them sent to the service beside good requests cause no crash, no failure and no memory growth`, async (t) => {
  const { listen, engine, metrics } = await startRealApp(t, {}, { workers: 2 });
  const origin = await listen();
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  t.after(() => agent.destroy());
  const send = async ({ kind, body }: Malformed): Promise<void> => {
    const { status, body: answer } = await ask(origin, { agent, body, deadlineMs: 60_000 });
    assert.ok(CLIENT_MISTAKES.has(status), `${kind}: ${status} ${JSON.stringify(answer)}`);
  };
  const bodies = fc.sample(malformed(LIMITS.maxSamplesPerRequest), SENT);
  for (const body of bodies) await send(body);
  const before = memoryInUse();
  const tally = await underLoad(t, origin, async () => {
    for (const body of bodies) await send(body);
  });
  const growth = memoryInUse() - before;
  assert.deepEqual(Object.keys(tally), ['scored'], JSON.stringify(tally));
  assert.ok(growth < MOST_GROWTH_BYTES, `${growth} bytes more`);
  assert.deepEqual(engine.queueDepth(), { samples: 0, bytes: 0 });
  assert.doesNotMatch(await metrics.registry.metrics(), /status="5[^}]*} [1-9]|worker_restarts_total [1-9]/);
});
