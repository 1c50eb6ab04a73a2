// Starts the service, or another module whose name comes first: `node scripts/start.js demo/generate.js --help`. Compiles the
// sources before when they are newer than the last build. The module runs in this process, so that it gets the signals itself.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const SOURCES = ['src', 'demo', 'clients/typescript/src'];
const STAMP = path.join(ROOT, 'dist', 'tsconfig.tsbuildinfo');

if (!isBuildFresh()) build();
const [module] = process.argv[2]?.endsWith('.js') ? process.argv.splice(2, 1) : ['src/main.js'];
process.argv[1] = path.join(ROOT, 'dist', module);
await import(pathToFileURL(process.argv[1]).href);

function isBuildFresh() {
  const folders = SOURCES.map((source) => path.join(ROOT, source)).filter(existsSync);
  if (folders.length === 0) return true;
  const files = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name)),
  );
  const newest = Math.max(...files.map((file) => statSync(file).mtimeMs));
  return existsSync(STAMP) && statSync(STAMP).mtimeMs >= newest;
}

function build() {
  process.stderr.write('Compiling the sources ...\n');
  const manifest = createRequire(import.meta.url).resolve('typescript/package.json');
  const compiler = path.join(path.dirname(manifest), 'bin', 'tsc');
  const { status } = spawnSync(process.execPath, [compiler, '-p', path.join(ROOT, 'tsconfig.json')], {
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
  // The compiler leaves the file as it is when only the times of the sources have changed.
  utimesSync(STAMP, new Date(), new Date());
}
