/** The conversation with a child process, in real ones: answers whole, failures told, an end noticed. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { startOrderTaker } from '../../../bench/processes/orders.js';

const ORDERS = new URL('../../../bench/processes/orders.js', import.meta.url).href;

interface Talk {
  readonly order: { readonly value: number };
  readonly answer: unknown;
}

async function start(t: TestContext, carryOut: string) {
  const folder = await mkdtemp(path.join(tmpdir(), 'orders-'));
  const file = path.join(folder, 'child.mjs');
  await writeFile(
    file,
    `import { answerOrders } from ${JSON.stringify(ORDERS)};\nanswerOrders(${carryOut});\n`,
  );
  const taker = startOrderTaker<Talk>(pathToFileURL(file), [], {});
  t.after(async () => {
    await taker.stop();
    await rm(folder, { recursive: true });
  });
  return taker;
}

test('orders are answered one after the other, and no number is lost on the way', async (t) => {
  const taker = await start(t, 'async ({ value }) => ({ value: value / 2, none: NaN, most: Infinity })');
  assert.deepEqual(await taker.ask({ value: 3 }), { value: 1.5, none: NaN, most: Infinity });
  assert.deepEqual(await taker.ask({ value: 5 }), { value: 2.5, none: NaN, most: Infinity });
});

test('a failure is told, and the next order is taken', async (t) => {
  const taker = await start(
    t,
    'async ({ value }) => { if (value < 0) throw new Error("too small"); return value; }',
  );
  await assert.rejects(taker.ask({ value: -1 }), /too small/);
  assert.equal(await taker.ask({ value: 1 }), 1);
});

test('an order whose process ends is an error', async (t) => {
  const taker = await start(t, 'async () => process.exit(3)');
  await assert.rejects(taker.ask({ value: 1 }), /ended \(3\)/);
});
