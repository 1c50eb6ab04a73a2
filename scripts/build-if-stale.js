// Owns the build on demand: compiles when the sources are newer than the last build.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const STAMP = path.join(ROOT, 'dist', 'tsconfig.tsbuildinfo');

function newestSource() {
  const sources = readdirSync(path.join(ROOT, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
  return Math.max(...sources.map((file) => statSync(file).mtimeMs));
}

function buildIsFresh() {
  if (!existsSync(path.join(ROOT, 'src'))) return true;
  return existsSync(STAMP) && statSync(STAMP).mtimeMs >= newestSource();
}

function build() {
  const manifest = createRequire(import.meta.url).resolve('typescript/package.json');
  const compiler = path.join(path.dirname(manifest), 'bin', 'tsc');
  const { status } = spawnSync(process.execPath, [compiler, '-p', path.join(ROOT, 'tsconfig.json')], {
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
}

/** Brings dist/ up to date; ends the process when the sources do not compile. */
export function buildIfStale() {
  if (!buildIsFresh()) build();
}
