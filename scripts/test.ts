/**
 * `npm test`: runs the compiled tests with Node's test runner. Arguments select files: `npm test -- wire decision` runs those
 * whose path contains one of the words. Files are passed one by one because Node 20, 22 and 24 treat folders and globs
 * differently.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import path from 'node:path';

const TESTS = path.join('dist', 'test');

const words = process.argv.slice(2);
const files = readdirSync(TESTS, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.js'))
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .toSorted((left, right) => left.localeCompare(right))
  .map((file) => path.join(TESTS, file));
if (files.length === 0) throw new Error(`no test matches ${words.join(' ')}`);

const runner = spawn(process.execPath, ['--enable-source-maps', '--test', ...files], { stdio: 'inherit' });
const [code] = (await once(runner, 'exit')) as [number | null];
process.exitCode = code ?? 1;
