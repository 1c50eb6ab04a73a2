/** A probe whose graph never ends costs neither the start nor an answer, with one worker: the real program under load. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { ask, underLoad } from '../support/load.js';
import { type ProbeFolderOptions, TINY_SIZE, writeProbe } from '../support/probe-folder.js';
import { startService } from '../support/process.js';
import { randomSamples, scoreBody } from '../support/samples.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const ENDLESS: ProbeFolderOptions = {
  hang: { above: 1000, turns: 2 ** 52 },
  selftest: scoreBody(randomSamples(TINY_SIZE, 3, 2).map((sample) => ({ ...sample, timestep: 2000 }))),
};

interface Listed {
  readonly models: readonly { readonly version: number; readonly reason: string | null }[];
}

async function refusals(origin: string): Promise<[number, string][]> {
  const { models } = (await (await fetch(`${origin}/models`)).json()) as Listed;
  return models.flatMap(({ version, reason }) => (reason === null ? [] : [[version, reason]]));
}

test('an endless version is refused at the start and later, and the one before it serves all the time', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  await writeProbe(models, { ...ENDLESS, version: 2 });
  const settings = { MODELS_DIR: models, MODELS_POLL_MS: '100', WORKERS: '1', PROOF_TIMEOUT_MS: '3000' };
  const { origin, lines } = await startService(t, settings);
  const reason = 'its test took more than 3000 ms';
  assert.deepEqual(await refusals(origin), [[2, reason]]);
  assert.equal((await ask(origin)).body.outcome, 'scored');
  const tally = await underLoad(t, origin, async () => {
    await writeProbe(models, { ...ENDLESS, version: 3 });
    while ((await refusals(origin)).length < 2) {
      assert.equal((await fetch(`${origin}/readyz`)).status, 200);
      await pause(20);
    }
  });
  assert.deepEqual(Object.keys(tally), ['scored'], JSON.stringify(tally));
  assert.deepEqual(
    (await refusals(origin)).map(([version]) => version),
    [3, 2],
  );
  const refused = (): number => lines.filter(({ msg }) => msg === 'a probe was refused').length;
  // The lines come through a pipe, after the answer of /models.
  while (refused() < 2) await pause(20);
  await pause(1000);
  assert.equal(refused(), 2, 'an unchanged folder is not tested again');
});
