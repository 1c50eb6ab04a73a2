/** The command line of `npm run traffic`. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const TRAFFIC = fileURLToPath(new URL('../../demo/traffic.js', import.meta.url));
const run = (...args: string[]) => promisify(execFile)(process.execPath, [TRAFFIC, ...args]);

test('--help shows the purpose, the defaults and an example', async () => {
  const { stdout } = await run('--help');
  for (const part of [
    'Sends groups',
    'default http://127.0.0.1:8080',
    'default 5',
    'Example: npm run traffic',
  ])
    assert.ok(stdout.includes(part), part);
});

test('a mistake is one sentence, with exit code 2', async () => {
  for (const [args, message] of [
    [['--setp', '5'], "Unknown option '--setp'"],
    [['--step', 'five'], '--step must be a whole number from 1 to 1000'],
    [['--url', 'here'], '--url must be an http or https URL'],
  ] as const)
    await assert.rejects(run(...args), (error: { code: number; stderr: string }) => {
      assert.equal(error.code, 2);
      assert.equal(error.stderr, `${message} (npm run traffic -- --help lists the options)\n`);
      return true;
    });
});
