/** Tests that JSON bodies are read in a thread: one after the other, without those whose clients left, and after a failure. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { problem, ProblemError } from '../../src/errors.js';
import { sharedCopy } from '../../src/wire/body-memory.js';
import { JsonThread, type ScoreTask } from '../../src/wire/json-thread.js';

const MAX_BYTES = 2_097_152;
const inputs: ScoreTask['inputs'] = new Map([
  [undefined, [{ name: 'a', dtype: 'U8' as const }]],
  ['ids@2', [{ name: 'a', dtype: 'I64' as const }]],
] as const);
const MOST_WAITING = 64;

function bytesOf(document: unknown): SharedArrayBuffer {
  return sharedCopy(Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)));
}

function read(thread: JsonThread, document: unknown, signal = new AbortController().signal) {
  return thread.read({ bytes: bytesOf(document), inputs }, signal);
}

const refusedAs =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof ProblemError && error.code === code;

test('a body comes back as shared memory, its lists in the dtypes of the probe that it names', async () => {
  const thread = new JsonThread(MAX_BYTES);
  for (const [model, dtype] of [
    [undefined, 'U8'],
    ['ids@2', 'I64'],
    ['unknown', 'F32'],
  ] as const) {
    const { bytes, tensors, metadata } = await read(thread, { model, tensors: { a: [1, 2] } });
    assert.ok(bytes instanceof SharedArrayBuffer);
    assert.deepEqual([tensors.get('a')?.dtype, tensors.get('a')?.shape], [dtype, [2]]);
    assert.equal(metadata.get('model'), model);
  }
});

test('feedback comes back as receipts and qualities, and lists and objects in their place are omitted', async () => {
  const feedback = [{ receipt: 'r', quality: 0.5, more: [{}] }, { receipt: [], quality: '1' }, null];
  assert.deepEqual(await new JsonThread(MAX_BYTES).read({ bytes: bytesOf({ feedback }) }), [
    { receipt: 'r', quality: 0.5 },
    { receipt: undefined, quality: '1' },
    { receipt: undefined, quality: undefined },
  ]);
});

test('feedback that is not a list of receipts is refused', async () => {
  const thread = new JsonThread(MAX_BYTES);
  for (const [document, field] of [
    [{ feedback: [] }, 'feedback'],
    [{ feedback: Array<null>(1001).fill(null) }, 'feedback'],
    [{ feedback: {} }, 'feedback'],
    [{}, 'feedback'],
    [[], 'body'],
    [{ feedback: [null], more: 1 }, 'body'],
  ] as const) {
    const refused = (error: unknown) =>
      refusedAs('invalid_feedback')(error) && (error as ProblemError).field === field;
    await assert.rejects(thread.read({ bytes: bytesOf(document) }), refused);
  }
  await assert.rejects(thread.read({ bytes: bytesOf('{"feedback":') }), refusedAs('malformed_body'));
});

test('a refusal repeats only the beginning of what it refuses', async () => {
  const shape = Array<string>(100_000).fill('long');
  const tensors = { ['name'.repeat(10_000)]: { dtype: 'U8', shape, data: '' } };
  await assert.rejects(read(new JsonThread(MAX_BYTES), { tensors }), (error) => {
    assert.ok(error instanceof ProblemError);
    assert.deepEqual([error.code, error.field?.length], ['malformed_body', 100]);
    assert.ok(error.detail.length < 300);
    return true;
  });
});

test('bodies are read in turn; those that are not needed any more are not waited for', async () => {
  const thread = new JsonThread(MAX_BYTES);
  const order: string[] = [];
  const noted = async (name: string, reading: Promise<unknown>) => {
    await reading.catch((error: unknown) => assert.equal(error, reason));
    order.push(name);
  };
  const reason = problem('deadline', 'too late');
  const controller = new AbortController();
  const large = { tensors: { a: Array<number>(500_000).fill(1) } };
  const readings = [
    noted('large', read(thread, large)),
    noted('late', read(thread, large, controller.signal)),
    noted('small', read(thread, { tensors: {} })),
    noted('later', read(thread, large, AbortSignal.abort(reason))),
  ];
  controller.abort(reason);
  await Promise.all(readings);
  assert.deepEqual(order, ['later', 'late', 'large', 'small']);
});

test('only some bodies to /score may wait, and all of /feedback', async () => {
  const thread = new JsonThread(MAX_BYTES);
  const readings = Array.from({ length: MOST_WAITING }, () => read(thread, { tensors: {} }));
  await assert.rejects(read(thread, { tensors: {} }), refusedAs('overloaded'));
  assert.equal((await thread.read({ bytes: bytesOf({ feedback: [{}] }) })).length, 1);
  await Promise.all(readings);
  await read(thread, { tensors: {} });
});

test('a thread that is lost fails the body that it was reading, and the next ones are read', async () => {
  const thread = new JsonThread(MAX_BYTES);
  const lost = thread.read(
    { bytes: bytesOf({ tensors: { a: [1] } }), inputs: {} as never },
    new AbortController().signal,
  );
  const next = read(thread, { tensors: {} });
  await assert.rejects(lost, (error) => !(error instanceof ProblemError));
  assert.equal((await next).tensors.size, 0);
});

test('an idle thread does not keep the process alive', async () => {
  const module = new URL('../../src/wire/json-thread.js', import.meta.url).href;
  const program = `import('${module}').then(({ JsonThread }) => {
    const bytes = new SharedArrayBuffer(2);
    new Uint8Array(bytes).set([0x7b, 0x7d]);
    new JsonThread(1000).read({ bytes }).catch(({ code }) => console.log(code));
  });`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], { timeout: 20_000 });
  assert.equal(stdout.trim(), 'invalid_feedback');
});
