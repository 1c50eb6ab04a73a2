// Owns how the tests are run: the compiled test files by name, given to Node's own runner.
// Node 20, 22 and 24 disagree about directories and globs after --test; a list of files works on each.
// Arguments narrow the run: `npm test -- wire decision` runs the files whose path holds one of the words.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const TESTS = path.join(ROOT, 'dist', 'test');

const wanted = process.argv.slice(2);
const files = readdirSync(TESTS, { recursive: true })
  .filter((file) => file.endsWith('.test.js'))
  .filter((file) => wanted.length === 0 || wanted.some((word) => file.includes(word)))
  .toSorted((left, right) => left.localeCompare(right))
  .map((file) => path.join(TESTS, file));

if (files.length === 0) throw new Error(`no test matches ${wanted.join(' ')}`);

const runner = spawn(process.execPath, ['--enable-source-maps', '--test', ...files], {
  cwd: ROOT,
  stdio: 'inherit',
});
runner.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
