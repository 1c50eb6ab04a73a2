/** Tests what answers and log lines show of a request, and how long they are. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import * as fc from 'fast-check';

import {
  boundedJson,
  cut,
  fieldKind,
  MAX_SHOWN_BYTES,
  quoted,
  traceOf,
  withoutNumbers,
} from '../src/disclosure.js';
import { problem } from '../src/errors.js';
import { createLog } from '../src/telemetry/log.js';
import { PRIVATE } from './support/private-text.js';

/** Everything that is logged by `write`, as one text. */
function logOf(write: (log: ReturnType<typeof createLog>) => void): string {
  const lines: string[] = [];
  write(createLog('trace', { write: (line) => lines.push(line) }));
  for (const line of lines) {
    assert.ok(Buffer.byteLength(line) <= MAX_SHOWN_BYTES);
    assert.ok(line.endsWith('}\n') && line.indexOf('\n') === line.length - 1);
  }
  return lines.join('');
}

test('a text is cut to 100 characters, and never within a surrogate pair', () => {
  assert.equal(cut('a'.repeat(100)), 'a'.repeat(100));
  assert.equal(cut('a'.repeat(101)), `${'a'.repeat(99)}…`);
  assert.equal(cut(`${'a'.repeat(98)}😀😀`), `${'a'.repeat(98)}…`);
  assert.equal(quoted('a"b'), '"a\\"b"');
  assert.equal(quoted([1, 2]), '[1,2]');
  assert.equal(quoted(undefined), 'undefined');
  assert.equal(quoted(Array(1000).fill(1)).length, 100);
});

test('an error cuts its field and the text that was received', () => {
  const { field, received } = problem('unknown_tensor', '', {
    field: 'f'.repeat(1e6),
    received: 'r'.repeat(1e6),
  });
  assert.deepEqual([field?.length, (received as string).length], [100, 100]);
});

test('JSON is bounded whatever it holds, and unchanged when it is small', () => {
  const small = { code: 'x', received: [1, { a: null }], expected: 'é' };
  assert.equal(boundedJson(small), JSON.stringify(small));
  const unit = fc.constantFrom('a', '\u0000', '"', '😀', '字');
  const text = fc.string({ unit, maxLength: 5000, size: 'max' });
  const wide = fc.array(fc.integer(), { maxLength: 3000, size: 'max' });
  const deep = fc.array(fc.dictionary(text, fc.oneof(text, wide), { maxKeys: 50 }), { maxLength: 20 });
  fc.assert(
    fc.property(
      text,
      fc.oneof(text, wide, deep),
      fc.oneof(text, wide, deep),
      (detail, received, expected) => {
        const code = 'policy_override_forbidden';
        const json = boundedJson({ code, detail, received, expected });
        assert.ok(Buffer.byteLength(json) < MAX_SHOWN_BYTES);
        assert.equal((JSON.parse(json) as { code: string }).code, code);
      },
    ),
    { numRuns: 50 },
  );
});

test('a field of the log is one that the service has named', () => {
  assert.equal(fieldKind('attention'), 'attention');
  assert.equal(fieldKind(`policy.alphas.${PRIVATE}`), 'policy');
  assert.equal(fieldKind(`tensors.${PRIVATE}`), 'tensors');
  assert.equal(fieldKind(PRIVATE), 'other');
  const src = new URL('../../src/', import.meta.url).pathname;
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  const named = files.flatMap((file) => [
    ...readFileSync(path.join(src, file), 'utf8').matchAll(/\bfield: '([^']+)'|\bfaultOf\([^,]+, '([^']+)'/g),
  ]);
  assert.ok(named.length > 20);
  for (const [match, name = '', inFault = ''] of named)
    assert.notEqual(fieldKind(name || inFault), 'other', match);
});

test('an error is logged with its place, and without its message', () => {
  const frame = `first\n    at ${PRIVATE} (file:1:1)`;
  const error = Object.assign(new TypeError(frame), { code: 'E_CODE' });
  const { type, code, stack = '' } = traceOf(error);
  assert.deepEqual([type, code], ['TypeError', 'E_CODE']);
  assert.match(stack, /^ +at .*disclosure\.test/);
  assert.ok(!stack.includes(PRIVATE));
  error.message = 'another';
  assert.equal(traceOf(error).stack, undefined);
  assert.deepEqual(traceOf(PRIVATE), { type: 'string' });
});

test('no way to log an error or a request shows a message or an address', () => {
  const error = new Error(PRIVATE, { cause: new Error(PRIVATE) });
  const shown = logOf((log) => {
    log.error(error);
    log.error({ err: error });
    log.child({ component: 'a' }).warn({ err: error, req: { method: 'GET', url: `/${PRIVATE}` } }, 'said');
    log.debug(error, 'said');
  });
  assert.ok(!shown.includes(PRIVATE));
  assert.equal(shown.match(/disclosure\.test/g)?.length, 4);
  assert.match(shown, /"req":\{"method":"GET"\}/);
});

test('a line of the log is bounded and keeps its beginning', () => {
  const models = Array.from({ length: 1000 }, (_, version) => ({ name: 'tiny', version }));
  const shown = logOf((log) => {
    log.info({ url: 'http://127.0.0.1:1', models }, 'listening');
    log.info('字'.repeat(1e6));
    log.info({ reason: '\u0000'.repeat(1e6) }, 'failed');
  });
  const [first] = shown.split('\n').map((line) => (line === '' ? {} : (JSON.parse(line) as object)));
  assert.deepEqual({ url: 'http://127.0.0.1:1', msg: 'listening', ...first }, first);
});

test('an error of ONNX Runtime is shown without numbers of samples', () => {
  const text =
    "running Gather node. Name:'/conv1/Gather' indices out of bounds, idx=-1234 not in [-10,9], 1.5e-7";
  assert.equal(
    withoutNumbers(text),
    "running Gather node. Name:'/conv1/Gather' indices out of bounds, idx=# not in [#,#], #",
  );
});
