/** The command line of `npm run bench`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readArguments } from '../../bench/arguments.js';

test('a full run is what is meant when nothing is said', () => {
  assert.deepEqual(readArguments([]), { isQuick: false });
  assert.deepEqual(readArguments(['--quick']), { isQuick: true });
});

test('help is asked for by its long and its short name', () => {
  assert.equal(readArguments(['--help']), undefined);
  assert.equal(readArguments(['-h', '--quick']), undefined);
});

test('what it does not know is an error', () => {
  for (const argument of ['--fast', 'quick', '--quick=yes'])
    assert.throws(() => readArguments([argument]), TypeError);
});
