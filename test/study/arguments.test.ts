/** The command line of `npm run study:false-drop`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readArguments, UsageError } from '../../src/study/arguments.js';

test('without arguments the committed scores are studied at step 5', () => {
  assert.deepEqual(readArguments([]), {
    step: 5,
    alphas: [0.01, 0.02, 0.05, 0.1, 0.2],
    seed: '0',
    probe: 'models/pictogram/1',
    reference: 'reference',
  });
});

test('alphas are a list, and --fresh says how many samples', () => {
  const options = readArguments(['--alphas', '0.03, 0.3', '--fresh=40', '--step', '10']);
  assert.deepEqual([options?.alphas, options?.fresh, options?.step], [[0.03, 0.3], 40, 10]);
});

test('help is asked for and not an error', () => assert.equal(readArguments(['--help']), undefined));

test('every mistake is told', () => {
  for (const [argv, message] of [
    [['--alphas', '0.1,1'], /--alphas must be numbers between 0 and 1/],
    [['--alphas', '0.1,,0.2'], /--alphas must be numbers/],
    [['--fresh', '0', '--step', 'x'], /--step must be a whole number\n--fresh must be at least 1/],
    [['--color'], /--color/],
    [['5'], /5/],
  ] as const) {
    assert.throws(
      () => readArguments(argv),
      (error) => error instanceof UsageError && message.test(error.message),
      argv.join(' '),
    );
  }
});
