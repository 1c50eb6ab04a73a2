/** Tests whom a request belongs to, and that callers are told and counted when their share is used up. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test, type TestContext } from 'node:test';

import { networkOf } from '../../src/api/access.js';
import type { FailedOpen } from '../../src/api/score-schemas.js';
import { parseApiKeys } from '../../src/config/key-files.js';
import type { AppOptions } from '../../src/server/app.js';
import { fakeEngine, operatorFiles, startApp } from '../support/app.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { randomSamples, scoreBody } from '../support/samples.js';

const payload = Buffer.from(scoreBody(randomSamples(TINY_SIZE, 3, 2)));

interface Sent {
  readonly headers?: Readonly<Record<string, string>>;
  readonly remoteAddress?: string;
}

function request({ headers, remoteAddress }: Sent = {}) {
  return {
    method: 'POST',
    url: '/score',
    headers: { 'content-type': 'application/octet-stream', ...headers },
    ...(remoteAddress !== undefined && { remoteAddress }),
    payload,
  } as const;
}

/** An app whose engine refuses the tenant `flood`, and the tenants that it has seen. */
async function appOf(t: TestContext, options: Partial<AppOptions> = {}) {
  const seen: (string | undefined)[] = [];
  const fake = fakeEngine();
  const engine = fakeEngine({
    queueRefusal: (tenant) => (tenant === 'flood' ? 'tenant_limit' : undefined),
    score: (probe, body, scoreOptions) => {
      seen.push(scoreOptions?.tenant);
      return fake.score(probe, body, scoreOptions);
    },
  });
  return { ...(await startApp(t, engine, options)), seen };
}

test('without a key and a header, the tenant is the address, and of IPv6 the network', async (t) => {
  const { app, seen } = await appOf(t);
  for (const remoteAddress of ['10.1.2.3', '::ffff:10.1.2.3', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::9'])
    await app.inject(request({ remoteAddress }));
  assert.deepEqual(seen, ['10.1.2.3', '10.1.2.3', '2001:db8:1:2::/64', '2001:db8:1:2::/64']);
  assert.equal(networkOf('::1'), networkOf('::2'));
  assert.equal(networkOf('2001:db8::1'), '2001:db8:0:0::/64');
  assert.equal(networkOf('fe80::1%eth0'), networkOf('fe80::2%eth0'));
});

test('the header that the operator names goes before the address, and an API key before both', async (t) => {
  const named = await appOf(t, { tenantHeader: 'x-tenant' });
  await named.app.inject(request({ headers: { 'x-tenant': ' team-a ' } }));
  await named.app.inject(request({ headers: { 'x-tenant': 'x'.repeat(1000) } }));
  await named.app.inject(request({ headers: { 'x-tenant': '' }, remoteAddress: '10.0.0.1' }));
  assert.deepEqual(named.seen, ['team-a', 'x'.repeat(64), '10.0.0.1']);

  const sha256 = createHash('sha256').update('secret').digest('hex');
  const keys = parseApiKeys(JSON.stringify({ keys: [{ id: 'backend-a', sha256 }] }));
  const files = operatorFiles({ apiKeys: () => keys });
  const keyed = await appOf(t, { tenantHeader: 'x-tenant', operatorFiles: files });
  await keyed.app.inject(request({ headers: { 'x-tenant': 'team-a', authorization: 'Bearer secret' } }));
  assert.deepEqual(keyed.seen, ['backend-a']);
});

test('whose share is used up gets 429 with Retry-After, or failed_open with a deadline; others are scored', async (t) => {
  const { app, metrics, seen } = await appOf(t, { tenantHeader: 'x-tenant' });
  const refused = await app.inject(request({ headers: { 'x-tenant': 'flood' } }));
  assert.equal(refused.statusCode, 429);
  assert.equal(refused.headers['retry-after'], '1');
  assert.equal(refused.json<{ code: string }>().code, 'tenant_limit');
  const open = await app.inject(request({ headers: { 'x-tenant': 'flood', 'x-deadline-ms': '500' } }));
  assert.deepEqual([open.statusCode, open.json<FailedOpen>().reason], [200, 'tenant_limit']);
  assert.equal((await app.inject(request({ headers: { 'x-tenant': 'polite' } }))).statusCode, 200);
  assert.deepEqual(seen, ['polite']);
  assert.match(await metrics.exposition([]), /tenant_limited_total\{tenant="flood"\} 0\n/, 'new: at zero');
  const text = await metrics.exposition([]);
  assert.match(text, /tenant_limited_total\{tenant="flood"\} 2\n/);
  assert.match(text, /tenant_limited_total\{tenant="polite"\} 0\n/);
  assert.match(text, /tenant_requests_total\{tenant="flood",outcome="failed_open"\} 1\n/);
  assert.match(text, /tenant_requests_total\{tenant="polite",outcome="scored"\} 1\n/);
  assert.match(text, /tenant_samples_total\{tenant="polite"\} 2\n/);
});

test('the metrics name the first hundred callers, and every API key', async (t) => {
  const { metrics } = await appOf(t);
  const event = { outcome: 'scored', reason: 'none', samples: 1 } as const;
  for (let caller = 0; caller < 300; caller += 1)
    metrics.countTenant({ ...event, tenant: `caller-${caller}`, isKey: false });
  for (let key = 0; key < 5; key += 1) metrics.countTenant({ ...event, tenant: `key-${key}`, isKey: true });
  await metrics.exposition([]);
  const text = await metrics.exposition([]);
  assert.equal(text.match(/^diffusion_probe_tenant_samples_total\{/gm)?.length, 100 + 5 + 1);
  assert.match(text, /tenant_samples_total\{tenant="other"\} 200\n/);
  assert.match(text, /tenant_samples_total\{tenant="key-4"\} 1\n/);
});
