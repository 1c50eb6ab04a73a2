/** Tests that workers that die under load lose no request, and that a full queue answers every request. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { startRealApp } from '../support/app.js';
import { FATAL_TIMESTEP, FRAGILE_WORKER_URL } from '../support/engine.js';
import { ask, underLoad } from '../support/load.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { randomSamples, scoreBody } from '../support/samples.js';

const fatal = Buffer.from(
  scoreBody(randomSamples(TINY_SIZE, 3, 1).map((sample) => ({ ...sample, timestep: FATAL_TIMESTEP }))),
);

for (const [caller, deadlineMs, allowed] of [
  ['with a deadline', 60_000, ['scored', 'failed_open unready']],
  ['without one', undefined, ['scored', '503 unready']],
] as const) {
  test(`workers die repeatedly under load: all callers ${caller} are answered`, async (t) => {
    const { listen, engine, metrics } = await startRealApp(
      t,
      {},
      { workerUrl: FRAGILE_WORKER_URL, workers: 2 },
    );
    const origin = await listen();
    const tally = await underLoad(
      t,
      origin,
      async () => {
        for (let death = 0; death < 4; death += 1) {
          const { status, body } = await ask(origin, { body: fatal, deadlineMs });
          assert.ok(deadlineMs === undefined ? status === 503 : body.outcome !== 'scored');
          while (!engine.readiness().ready) await pause(5);
          await ask(origin);
        }
      },
      deadlineMs === undefined ? {} : { deadlineMs },
    );
    assert.ok((tally['scored'] ?? 0) > 0);
    assert.deepEqual(
      Object.keys(tally).filter((kind) => !(allowed as readonly string[]).includes(kind)),
      [],
      JSON.stringify(tally),
    );
    assert.deepEqual(engine.queueDepth(), { samples: 0, bytes: 0 });
    assert.match(await metrics.registry.metrics(), /worker_restarts_total [1-9]/);
    assert.equal((await ask(origin)).body.outcome, 'scored');
  });
}

test('with a full queue some requests are scored, the others fail open or get 503, and none is lost', async (t) => {
  const { listen, engine } = await startRealApp(t, {}, { maxQueueSamples: 8 }, { work: 50 });
  const origin = await listen();
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, index) => ask(origin, index % 2 === 0 ? { deadlineMs: 60_000 } : {})),
  );
  const kinds = answers.map(({ status, retryAfter, body }) =>
    status === 200 ? (body.reason ?? body.outcome) : `${status} ${body.code} after ${retryAfter}`,
  );
  assert.deepEqual(new Set(kinds), new Set(['scored', 'overloaded', '503 overloaded after 1']));
  assert.deepEqual(engine.queueDepth(), { samples: 0, bytes: 0 });
  assert.equal((await ask(origin)).body.outcome, 'scored');
});
