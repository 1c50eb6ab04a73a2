/** The command line of `npm run bench`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readBenchOptions } from '../../bench/options.js';
import { UsageError } from '../../src/terminal/command-line.js';

test('without options the benchmark is a full one', () => {
  assert.deepEqual(readBenchOptions([]), { isQuick: false });
  assert.deepEqual(readBenchOptions(['--quick']), { isQuick: true });
});

test('help has a long and a short name', () => {
  assert.equal(readBenchOptions(['--help']), undefined);
  assert.equal(readBenchOptions(['-h', '--quick']), undefined);
});

test('an unknown option is an error', () => {
  for (const argument of ['--fast', 'quick', '--quick=yes'])
    assert.throws(() => readBenchOptions([argument]), UsageError);
});
