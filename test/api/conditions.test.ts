/** Tests what the service answers, decides and counts when images are drawn under other conditions than the probe's. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';

import { ConditionsJudge } from '../../src/api/score-conditions.js';
import type { Scored } from '../../src/api/score-schemas.js';
import type { PolicyRule } from '../../src/config/policies.js';
import type { Conditions } from '../../src/probe/conditions.js';
import { fingerprintOf } from '../../src/probe/fingerprint.js';
import { type Manifest } from '../../src/probe/manifest.js';
import { operatorFiles, startApp, startRealApp, fakeEngine, testManifest } from '../support/app.js';
import { asSchema1, TINY_CONDITIONS, TINY_SIZE } from '../support/probe-folder.js';
import { randomSamples, scoreBody, tensorsOf } from '../support/samples.js';

const HEADERS = { 'content-type': 'application/octet-stream' };
const samples = randomSamples(TINY_SIZE, 3, 4, 21);
const OTHER = {
  ...TINY_CONDITIONS,
  dtype: 'bfloat16',
  call: { ...TINY_CONDITIONS.call, guidance_scale: 7, clip_skip: 2 },
};
const KEEP_BEST = { name: 'top_k', k: 1, explore: { rate: 0 } } as const;

interface Refusal {
  readonly code: string;
  readonly field: string;
}

async function serviceWith(t: TestContext, rule: Partial<PolicyRule> = {}) {
  const policies = { default: { policy: KEEP_BEST, allow_override: true, ...rule }, models: {} };
  const { app, listen } = await startApp(t, fakeEngine(), {
    operatorFiles: operatorFiles({ policies: () => policies }),
  });
  const send = (metadata: Record<string, string>) =>
    app.inject({
      method: 'POST',
      url: '/score',
      headers: HEADERS,
      payload: Buffer.from(scoreBody(samples, metadata)),
    });
  return {
    app,
    listen,
    send,
    ask: async (metadata: Record<string, string>) => (await send(metadata)).json<Scored>(),
    refused: async (metadata: Record<string, string>) => (await send(metadata)).json<Refusal>(),
  };
}

const idOf = (conditions: Conditions) => ({ conditions_id: fingerprintOf(conditions) });
const documentOf = (conditions: Conditions) => ({ conditions: JSON.stringify(conditions) });
const statesOf = ({ conditions, foreign_conditions: foreign }: Scored) => [conditions, foreign];

test('a request of an old client, without conditions, is answered as before', async (t) => {
  const { ask } = await serviceWith(t, { on_foreign_conditions: 'keep' });
  const answer = await ask({});
  assert.deepEqual(statesOf(answer), ['unstated', []]);
  assert.equal(answer.results.filter(({ decision }) => decision === 'drop').length, 3);
});

test('a hash is known once its document has come, and the fields that differ are listed', async (t) => {
  const { ask } = await serviceWith(t);
  const foreign = ['call.clip_skip', 'call.guidance_scale', 'dtype'];
  assert.deepEqual(statesOf(await ask(idOf(TINY_CONDITIONS))), ['same', []]);
  assert.deepEqual(statesOf(await ask(idOf(OTHER))), ['unknown', []]);
  assert.deepEqual(statesOf(await ask({ ...idOf(OTHER), ...documentOf(OTHER) })), ['foreign', foreign]);
  const answer = await ask(idOf(OTHER));
  assert.deepEqual(statesOf(answer), ['foreign', foreign]);
  assert.ok(
    answer.results.some(({ decision }) => decision === 'drop'),
    'a warning keeps nothing',
  );
});

test('a document without its hash is enough', async (t) => {
  const { ask } = await serviceWith(t);
  assert.deepEqual(statesOf(await ask(documentOf(TINY_CONDITIONS))), ['same', []]);
  assert.equal((await ask(documentOf(OTHER))).conditions, 'foreign');
  assert.equal((await ask(idOf(OTHER))).conditions, 'foreign');
});

test('a JSON body holds the object itself', async (t) => {
  const { app } = await startRealApp(t);
  const { attention, token_mask: mask, timestep } = tensorsOf(samples, 'F32');
  assert.ok(mask && timestep);
  const tensors = {
    attention: {
      dtype: attention.dtype,
      shape: attention.shape,
      data: Buffer.from(attention.data.buffer as ArrayBuffer).toString('base64'),
    },
    token_mask: samples.map((sample) => [...sample.mask]),
    timestep: samples.map((sample) => sample.timestep),
  };
  const payload = { tensors, ...idOf(OTHER), conditions: OTHER };
  const response = await app.inject({ method: 'POST', url: '/score', payload });
  assert.equal(response.json<Scored>().conditions, 'foreign');
});

test('what is no document of the hash is refused', async (t) => {
  const { refused } = await serviceWith(t);
  const long = { dtype: 'x'.repeat(32_768) };
  for (const [metadata, field] of [
    [{ ...idOf(TINY_CONDITIONS), ...documentOf(OTHER) }, 'conditions_id'],
    [{ conditions_id: 'ABC' }, 'conditions_id'],
    [{ conditions: '[]' }, 'conditions'],
    [{ conditions: '{' }, 'conditions'],
    [documentOf(long), 'conditions'],
    [{ conditions: `{"a":${'['.repeat(9000)}${']'.repeat(9000)}}` }, 'conditions'],
  ] as const) {
    const answer = await refused(metadata);
    assert.deepEqual([answer.code, answer.field], ['invalid_metadata', field]);
  }
});

test('the rule `keep` keeps every sample, and the longest path decides', async (t) => {
  const rule = { '*': 'ignore', call: 'ignore', 'call.guidance_scale': 'keep' } as const;
  const { ask, app } = await serviceWith(t, { on_foreign_conditions: rule });
  const answer = await ask(documentOf(OTHER));
  assert.deepEqual(statesOf(answer), ['foreign', ['call.guidance_scale']]);
  for (const { would_drop: wouldDrop, override } of answer.results)
    assert.equal(override, wouldDrop ? 'foreign_conditions' : null);
  assert.ok(answer.results.every(({ decision }) => decision === 'keep'));
  const ignored = await ask(documentOf({ ...OTHER, call: TINY_CONDITIONS.call }));
  assert.deepEqual(statesOf(ignored), ['same', []]);
  const feedback = answer.results.map(({ receipt }) => ({ receipt, quality: 1 }));
  const taken = await app.inject({ method: 'POST', url: '/feedback', payload: { feedback } });
  assert.equal(taken.json<{ accepted: number }>().accepted, 4);
  const { models } = (await app.inject('/models')).json<{ models: Record<string, unknown>[] }>();
  assert.deepEqual(models[0]?.['on_foreign_conditions'], rule);
});

test('an unknown hash has the action of every path', async (t) => {
  for (const [rule, override] of [
    ['keep', 'foreign_conditions'],
    [{ '*': 'keep', dtype: 'ignore' }, 'foreign_conditions'],
    [{ dtype: 'keep' }, null],
    ['ignore', null],
  ] as const) {
    const { ask } = await serviceWith(t, { on_foreign_conditions: rule });
    const answer = await ask(idOf(OTHER));
    assert.deepEqual(statesOf(answer), ['unknown', []]);
    assert.equal(answer.results.find(({ would_drop: wouldDrop }) => wouldDrop)?.override, override);
  }
});

test('an old probe, of schema_version 1, is served as before, and there is nothing to compare with', async (t) => {
  const toSchema1 = (manifest: Manifest): void => {
    const old = asSchema1(manifest);
    for (const member of Object.keys(manifest))
      if (!(member in old)) Reflect.deleteProperty(manifest, member);
    Object.assign(manifest, old);
  };
  const { app } = await startRealApp(t, {}, {}, { edit: toSchema1 });
  const metadata = { ...documentOf(OTHER), step: '5', total_steps: '25' };
  const payload = Buffer.from(scoreBody(samples, metadata));
  const response = await app.inject({ method: 'POST', url: '/score', headers: HEADERS, payload });
  assert.deepEqual(statesOf(response.json<Scored>()), ['unstated', []]);
  const { models } = (await app.inject('/models')).json<{ models: { contract: object }[] }>();
  assert.deepEqual(Object.keys(models[0]?.contract ?? {}).toSorted(), [
    'backbone',
    'capture',
    'capture_id',
    'decision_points',
    'evaluation',
    'inputs',
    'metric',
    'schema_version',
  ]);
});

test('states and fields are counted from zero, and a name that only a caller knows is `other`', async (t) => {
  const { listen, app } = await serviceWith(t);
  const figures = async (): Promise<string[]> =>
    (await app.inject('/metrics')).body
      .split('\n')
      .filter((line) => /^diffusion_probe_(foreign_)?conditions_total/.test(line) && !line.endsWith(' 0'))
      .map((line) => line.replace('diffusion_probe_', '').replace('model="tiny",version="1",', ''));
  assert.deepEqual(await figures(), []);
  const { body } = await app.inject('/metrics');
  assert.match(body, /conditions_total\{model="tiny",version="1",state="unknown"\} 0/);
  assert.match(body, /foreign_conditions_total\{model="tiny",version="1",field="other"\} 0/);
  const origin = await listen();
  for (const metadata of [{}, idOf(OTHER), documentOf(OTHER)]) {
    const sent = await fetch(`${origin}/score`, {
      method: 'POST',
      headers: HEADERS,
      body: scoreBody(samples, metadata),
    });
    await sent.text();
  }
  assert.deepEqual((await figures()).toSorted(), [
    'conditions_total{state="foreign"} 1',
    'conditions_total{state="unknown"} 1',
    'conditions_total{state="unstated"} 1',
    'foreign_conditions_total{field="call"} 1',
    'foreign_conditions_total{field="dtype"} 1',
  ]);
});

const RULE: PolicyRule = { policy: KEEP_BEST, allow_override: true };

function judged(
  judge: ConditionsJudge,
  stated: { id?: string; conditions?: Conditions },
  manifest: Manifest,
) {
  return judge.judge(manifest, { conditionsId: stated.id, conditions: stated.conditions }, RULE);
}

test('the documents that were not used for the longest time are forgotten', () => {
  const judge = new ConditionsJudge();
  const manifest = testManifest();
  const documents = Array.from({ length: 257 }, (_, index) => ({ ...TINY_CONDITIONS, dtype: `d${index}` }));
  const stateOf = (index: number) => judged(judge, { id: fingerprintOf(documents[index]) }, manifest).state;
  for (const conditions of documents.slice(0, 256)) judged(judge, { conditions }, manifest);
  assert.equal(stateOf(0), 'foreign');
  judged(judge, { conditions: documents[256] ?? assert.fail() }, manifest);
  assert.deepEqual(
    [stateOf(0), stateOf(1), stateOf(2), stateOf(256)],
    ['foreign', 'unknown', 'foreign', 'foreign'],
  );
});

test('all documents together take at most 1 MiB', () => {
  const judge = new ConditionsJudge();
  const manifest = testManifest();
  const documents = Array.from({ length: 40 }, (_, index) => ({ dtype: `${index} ${'x'.repeat(30_000)}` }));
  for (const conditions of documents) judged(judge, { conditions }, manifest);
  const states = documents.map((document) => judged(judge, { id: fingerprintOf(document) }, manifest).state);
  assert.deepEqual([states[0], states[39]], ['unknown', 'foreign']);
  assert.equal(states.filter((state) => state === 'foreign').length, 34);
});

test('an answer lists at most 32 differences, each of at most 100 characters', () => {
  const members = Array.from({ length: 100 }, (_, index) => [`${index}${'n'.repeat(200)}`, index]);
  const conditions = { scheduler: Object.fromEntries(members) as Conditions };
  const { foreign, members: counted } = judged(new ConditionsJudge(), { conditions }, testManifest());
  assert.equal(foreign.length, 32);
  assert.ok(foreign.every((path) => path.length <= 100));
  assert.ok(counted.includes('scheduler'));
});

test('a member that only the probe has named counts as other', async (t) => {
  const fake = fakeEngine().resolve(undefined);
  const conditions = { ...TINY_CONDITIONS, hyper: 1 };
  const manifest = { ...fake.manifest, conditions, conditions_id: fingerprintOf(conditions) };
  const probe = { ...fake, manifest };
  const engine = fakeEngine({ resolve: () => probe, probes: () => [{ ...probe, state: 'serving' }] });
  const { app, listen } = await startApp(t, engine);
  const body = scoreBody(samples, documentOf(TINY_CONDITIONS));
  await (await fetch(`${await listen()}/score`, { method: 'POST', headers: HEADERS, body })).text();
  assert.match((await app.inject('/metrics')).body, /foreign_conditions_total\{[^}]*field="other"\} 1/);
});
