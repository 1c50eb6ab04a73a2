/** Calls to real child processes: responses arrive unchanged, failures and ends of the process are errors. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { startChild } from '../../../bench/processes/child.js';

const MODULE = new URL('../../../bench/processes/child.js', import.meta.url).href;

interface TestCall {
  readonly request: { readonly value: number };
  readonly response: unknown;
}

async function start(t: TestContext, handle: string) {
  const folder = await mkdtemp(path.join(tmpdir(), 'child-'));
  const file = path.join(folder, 'child.mjs');
  await writeFile(file, `import { answerCalls } from ${JSON.stringify(MODULE)};\nanswerCalls(${handle});\n`);
  const child = startChild<TestCall>(pathToFileURL(file), [], {});
  t.after(async () => {
    await child.stop();
    await rm(folder, { recursive: true });
  });
  return child;
}

test('requests are answered one after the other, and NaN and Infinity arrive', async (t) => {
  const child = await start(t, 'async ({ value }) => ({ value: value / 2, none: NaN, most: Infinity })');
  assert.deepEqual(await child.call({ value: 3 }), { value: 1.5, none: NaN, most: Infinity });
  assert.deepEqual(await child.call({ value: 5 }), { value: 2.5, none: NaN, most: Infinity });
});

test('a failed request is an error, and the next request is answered', async (t) => {
  const child = await start(
    t,
    'async ({ value }) => { if (value < 0) throw new Error("too small"); return value; }',
  );
  await assert.rejects(child.call({ value: -1 }), /too small/);
  assert.equal(await child.call({ value: 1 }), 1);
});

test('the end of the process is an error', async (t) => {
  const child = await start(t, 'async () => process.exit(3)');
  await assert.rejects(child.call({ value: 1 }), /ended \(3\)/);
});
