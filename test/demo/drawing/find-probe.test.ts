/** The demo finds the probe that is named, or the one for its backbone. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';

import { findProbe, UnknownProbeError } from '../../../demo/drawing/find-probe.js';

const MODELS = [
  { ...model('large', 3, 'serving'), contract: contract('sdxl') },
  { ...model('pictogram', 2, 'refused'), contract: contract('pictogram') },
  { ...model('pictogram', 1, 'serving'), contract: contract('pictogram') },
  { ...model('broken', 1, 'refused'), contract: null },
];

function model(name: string, version: number, state: string) {
  return { name, version, state, reason: null };
}

function contract(backbone: string) {
  const inputs = [{ name: 'attention', dtype: 'F16', shape: ['batch', 9, 'tokens', 16, 16] }];
  const decision_points = [{ step: 5, timestep: 778.7, tolerance: 1 }];
  return {
    backbone,
    capture: { layers: ['down.0'] },
    capture_id: '0123456789abcdef',
    inputs,
    decision_points,
  };
}

async function serve(t: TestContext, status: number, body: unknown): Promise<string> {
  const server = createServer((_, response) => {
    response.writeHead(status, { connection: 'close' }).end(JSON.stringify(body));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('without a name, the serving probe for the backbone is found', async (t) => {
  const url = await serve(t, 200, { models: MODELS });
  const probe = await findProbe(url, undefined);
  assert.equal(probe.reference, 'pictogram@1');
  assert.equal(probe.contract.backbone, 'pictogram');
  assert.deepEqual(probe.contract.plans, [], 'an older service names no plans');
});

test('a probe is found by its name with or without the version', async (t) => {
  const url = await serve(t, 200, { models: MODELS });
  assert.equal((await findProbe(url, 'large')).reference, 'large@3');
  assert.equal((await findProbe(url, 'pictogram@1')).reference, 'pictogram@1');
});

test('a probe that is missing or refused is an error that lists the served probes', async (t) => {
  const url = await serve(t, 200, { models: MODELS });
  for (const name of ['small', 'large@4', 'pictogram@2', 'broken']) {
    await assert.rejects(findProbe(url, name), (error: Error) => {
      assert.ok(error instanceof UnknownProbeError);
      assert.match(error.message, new RegExp(`no probe ${name} at .*; it serves: large@3, pictogram@1$`));
      return true;
    });
  }
});

test('an answer that is not a list of probes is an error', async (t) => {
  await assert.rejects(findProbe(await serve(t, 404, {}), undefined), /answered with status 404/);
  await assert.rejects(findProbe(await serve(t, 200, { models: 1 }), undefined), /no Diffusion Probe/);
  await assert.rejects(findProbe(await serve(t, 200, { models: [] }), undefined), /serves: none/);
});
