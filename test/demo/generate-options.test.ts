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
  assert.deepEqual(planOf('--seeds', '8', '--keep', '1=7, 3=6, 5=2'), {
    seeds: 8,
    keep: { 1: 7, 3: 6, 5: 2 },
  });
  assert.deepEqual(planOf('--keep', '10=2,5=4'), { seeds: 8, keep: { 5: 4, 10: 2 } });
  assert.deepEqual(planOf('--best-of', '3'), { seeds: 3, keep: {} });
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
  refused(['a cat', '--seeds', 'many', '--keep', 'x'], /--seeds must be a whole number.*\n--keep must be/);
  refused(['a cat', '--keep', '9'], /--keep 5: must be at most 8, the samples alive/);
  refused(['a cat', '--budget', '0.5'], /--budget must be at least 1/);
  refused(['a cat', '--budget', 'three'], /--budget must be a number of whole images/);
  for (const keep of ['', 'eight', '5=', '5=2,', '5=2; 10=1', '5=3, 5=2', '0=4', '-8'])
    refused(['a cat', `--keep=${keep}`], /--keep must be images to keep by step/);
  refused(['a cat', '--keep', '1=4, 3=5'], /--keep 3: must be at most 4, the samples alive/);
  refused(['a cat', '--keep', '5=0'], /--keep 5: /);
  refused(['a cat', '--best-of', '65'], /--best-of must be at most 64/);
  refused(['a cat', '--best-of', '3', '--budget', '3'], /one plan: --budget does not go with --best-of/);
  refused(['a cat', '--keep', '1', '--best-of', '3'], /one plan: --keep does not go with --best-of/);
  refused(['a cat', '--url', 'ftp://here'], /--url must be an http/);
  refused(['a cat', '--colour', 'red'], /--colour/);
});
