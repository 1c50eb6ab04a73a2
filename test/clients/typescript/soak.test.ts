/**
 * Many calls through slow, broken, refusing, dead and recovering servers: at the end every call is scored, and neither
 * connections nor memory are left over. SOAK_CALLS=10000 makes it long.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { ProbeClient as FetchClient } from '../../../clients/typescript/src/index.js';
import { ProbeClient as NodeClient } from '../../../clients/typescript/src/node.js';
import { readCases } from '../../support/client-cases.js';
import { HostileServer, type Reply } from '../../support/hostile-server.js';

const CALLS = Number(process.env['SOAK_CALLS'] ?? 800);
const CALLS_AT_ONCE = 16;
/** A call that is sent again may have a new connection before its old one is closed. */
const MAX_CONNECTIONS = 2 * CALLS_AT_ONCE;
const BREAKER_SECONDS = 0.05;
const MAX_HEAP_GROWTH_BYTES = 8_388_608;
const OK: Reply = { body: 'scored' };
/** What the server does, one after the other. */
const TROUBLES: readonly (readonly Reply[] | 'stop')[] = [
  [{ fault: 'silence' }],
  [OK, { fault: 'reset' }, { fault: 'close' }],
  'stop',
  [{ status: 503, headers: { 'retry-after': '0' }, body: 'overloaded' }, OK],
  [{ fault: 'garbage' }],
  [{ status: 422, body: 'foreign_capture' }],
  [{ body: 'scored', cut_after: 9 }],
  [{ status: 502, body: 'page' }, OK],
  [{ drip_ms: 5, body: 'scored' }],
  // oxlint-disable-next-line unicorn/no-thenable -- it is awaited by nobody
  [{ body: 'scored', then: 'close' }],
];
const input = {
  attention: { dtype: 'F16', shape: [3, 2, 4, 5, 5], data: new Uint16Array(600) },
  timestep: 1,
} as const;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
const { bodies } = await readCases();

async function heapBytes(): Promise<number> {
  await delay(100);
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

for (const [name, Client] of [
  ['fetch', FetchClient],
  ['node', NodeClient],
] as const)
  test(`${name}: ${CALLS} calls through all kinds of trouble`, async (t) => {
    const server = new HostileServer(bodies, [OK]);
    await server.start();
    t.after(() => server.stop());
    const onProblem = (): void => {};
    const client = new Client(server.origin, {
      breakerSeconds: BREAKER_SECONDS,
      onMistake: 'keep',
      onProblem,
    });
    t.after(() => client.close());
    const call = async (deadlineMs: number): Promise<string> => {
      const { outcome, decisions } = await client.score(input, { deadlineMs });
      assert.equal(decisions.length, 3);
      return outcome;
    };
    const atOnce = (deadlineMs: number) =>
      Promise.all(Array.from({ length: CALLS_AT_ONCE }, () => call(deadlineMs)));
    const goThrough = async (trouble: readonly Reply[] | 'stop'): Promise<void> => {
      if (trouble === 'stop') await server.stop();
      else server.answerWith(trouble);
      await atOnce(40);
      if (trouble === 'stop') await server.start();
      server.answerWith([OK]);
      // A timer may fire a millisecond early.
      await delay(BREAKER_SECONDS * 1000 + 20);
      // The trial that closes the circuit.
      await call(10_000);
    };

    for (const trouble of TROUBLES) await goThrough(trouble);
    const heapBefore = await heapBytes();
    for (let calls = 0, turn = 0; calls < CALLS; calls += CALLS_AT_ONCE + 1, turn += 1)
      await goThrough(TROUBLES[turn % TROUBLES.length] ?? []);
    assert.deepEqual(new Set(await atOnce(10_000)), new Set(['scored']));
    assert.ok(server.connections <= MAX_CONNECTIONS, `${server.connections} connections are open`);
    const growth = (await heapBytes()) - heapBefore;
    assert.ok(growth < MAX_HEAP_GROWTH_BYTES, `${growth} bytes more`);
    for (const reason of ['timeout', 'network', 'refused'])
      assert.ok((client.failures.get(reason) ?? 0) > 0, `no call failed by ${reason}`);
    t.diagnostic(`${growth} bytes more, ${server.connections} connections`);
  });
