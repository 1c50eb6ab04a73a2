/** A mistake on a command line is one sentence. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as z from 'zod';

import {
  checkOptions,
  parseArguments,
  urlOption,
  UsageError,
  usageText,
  wholeOption,
} from '../../src/terminal/command-line.js';

const options = { step: { type: 'string' }, all: { type: 'boolean' } } as const;

function mistake(...args: string[]): string {
  try {
    parseArguments({ args, options });
  } catch (error) {
    assert.ok(error instanceof UsageError);
    return error.message;
  }
  return assert.fail('it was accepted');
}

test('a mistake that Node finds is its first sentence', () => {
  assert.equal(mistake('--colour', 'red'), "Unknown option '--colour'");
  assert.equal(mistake('--all=yes'), "Option '--all' does not take an argument");
  assert.equal(mistake('--step'), "Option '--step <value>' argument missing");
  assert.equal(mistake('--step', '--all'), "Option '--step' argument is ambiguous");
  assert.equal(mistake('word'), "Unexpected argument 'word'");
});

test('values are checked by a schema, and all mistakes are named', () => {
  const schema = z.object({ step: wholeOption(1, 9), url: urlOption() });
  assert.deepEqual(checkOptions(schema, { step: '3' }), { step: 3, url: 'http://127.0.0.1:8080' });
  for (const [step, message] of [
    ['x', '--step must be a whole number from 1 to 9'],
    ['0', '--step must be at least 1'],
    ['10', '--step must be at most 9'],
  ] as const)
    assert.throws(() => checkOptions(schema, { step }), new UsageError(message));
  assert.throws(
    () => checkOptions(schema, { step: '0', url: 'ftp://here' }),
    new UsageError('--step must be at least 1\n--url must be an http or https URL'),
  );
});

test('a mistake is followed by the command that lists the options', () => {
  assert.equal(usageText(new UsageError('no'), 'x --help'), 'no (x --help lists the options)\n');
});
