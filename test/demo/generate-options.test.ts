/** The command line of `npm run generate`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { UsageError } from '../../demo/command.js';
import { readGenerateOptions } from '../../demo/generate-options.js';

test('a caption alone takes the defaults', () => {
  const options = readGenerateOptions(['a cat on a blue background']);
  assert.equal(options?.caption, 'a cat on a blue background');
  assert.deepEqual([options?.seeds, options?.keep, options?.step, options?.all], [8, 2, 5, false]);
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
    [options?.seeds, options?.keep, options?.all, options?.model],
    [4, 1, true, 'pictogram@1'],
  );
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
  refused(['a cat', '--url', 'ftp://here'], /--url must be an http/);
  refused(['a cat', '--colour', 'red'], /--colour/);
});
