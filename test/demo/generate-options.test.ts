/** The command line of `npm run generate`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { UsageError } from '../../src/terminal/command-line.js';
import { readGenerateOptions } from '../../demo/generate-options.js';

test('a caption alone starts eight, asks at step 5 and keeps two', () => {
  const options = readGenerateOptions(['a cat on a blue background']);
  assert.equal(options?.caption, 'a cat on a blue background');
  assert.deepEqual([options?.plan, options?.all], [{ seeds: 8, keep: { 5: 2 } }, false]);
});

test('options may stand on either side of the caption', () => {
  const options = readGenerateOptions([
    '--seeds',
    '4',
    'a cat',
    '--keep=1',
    '--all',
    '--model',
    'pictogram@1',
  ]);
  assert.deepEqual(
    [options?.plan, options?.all, options?.model],
    [{ seeds: 4, keep: { 5: 1 } }, true, 'pictogram@1'],
  );
});

test('a plan is chosen by its budget, or written out', () => {
  const planOf = (...argv: string[]) => readGenerateOptions(['a cat', ...argv])?.plan;
  assert.deepEqual(planOf('--budget', '1.5'), { budget: 1.5 });
  assert.deepEqual(planOf('--plan', '8: 1=7, 3=6, 5=2'), { seeds: 8, keep: { 1: 7, 3: 6, 5: 2 } });
  assert.deepEqual(planOf('--plan', '8:10=2,5=4'), { seeds: 8, keep: { 5: 4, 10: 2 } });
  assert.deepEqual(planOf('--plan', '3'), { seeds: 3, keep: {} });
});

test('--help is not an error', () => {
  assert.equal(readGenerateOptions(['--help']), undefined);
});

test('every mistake is reported', () => {
  const refused = (argv: string[], message: RegExp): void => {
    assert.throws(
      () => readGenerateOptions(argv),
      (error: Error) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, message);
        return true;
      },
    );
  };
  refused([], /one caption in quotes, got 0/);
  refused(['a', 'cat'], /one caption in quotes, got 2/);
  refused(['a cat', '--seeds', '0'], /--seeds must be at least 1/);
  refused(['a cat', '--seeds', 'many', '--step', 'x'], /--seeds must be a whole number.*\n--step must be/);
  refused(['a cat', '--keep', '9'], /--keep must not exceed --seeds/);
  refused(['a cat', '--budget', '0.5'], /--budget must be at least 1/);
  refused(['a cat', '--budget', 'three'], /--budget must be a number of whole images/);
  for (const plan of ['', 'eight', '8:', '8: 5', '8: 5=2,', '8: 5=2; 10=1', '8: 5=3, 5=2', '8: 0=4', '-8'])
    refused(['a cat', `--plan=${plan}`], /--plan must be the seeds, then the images to keep by step/);
  refused(['a cat', '--plan', '8: 1=4, 3=5'], /--plan keep\.3: must be at most 4, the samples alive/);
  refused(['a cat', '--plan', '8: 5=0'], /--plan keep\.5: /);
  refused(['a cat', '--plan', '0'], /--plan seeds: /);
  refused(['a cat', '--plan', '65'], /--plan seeds: /);
  refused(['a cat', '--plan', '3', '--budget', '3'], /one plan: --budget does not go with --plan/);
  refused(['a cat', '--step', '3', '--budget', '3'], /one plan: --budget does not go with --step/);
  refused(['a cat', '--keep', '1', '--plan', '3'], /one plan: --plan does not go with --keep/);
  refused(['a cat', '--url', 'ftp://here'], /--url must be an http/);
  refused(['a cat', '--colour', 'red'], /--colour/);
});
