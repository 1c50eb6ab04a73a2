// Starts the service, or another module whose name comes first: `node scripts/start.js demo/generate.js --help`. Compiles the
// sources before when they are newer than the last build, and for the service the page, which it then serves. The module runs in
// this process, so that it gets the signals itself.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const SERVICE = 'src/main.js';
const STAMP = path.join(ROOT, 'dist', 'tsconfig.tsbuildinfo');
const PAGE = path.join(ROOT, 'dist', 'page');

if (!isFresh(STAMP, ['src', 'demo', 'clients/typescript/src'])) compile();
const [module] = process.argv[2]?.endsWith('.js') ? process.argv.splice(2, 1) : [SERVICE];
if (module === SERVICE && servesPage(process.argv.slice(2))) offerPage();
process.argv[1] = path.join(ROOT, 'dist', module);
await import(pathToFileURL(process.argv[1]).href);

/** Whether a built file is newer than every source. */
function isFresh(built, sources) {
  const places = sources.map((source) => path.join(ROOT, source)).filter(existsSync);
  if (places.length === 0) return true;
  const files = places.flatMap((place) =>
    statSync(place).isFile()
      ? [place]
      : readdirSync(place, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => path.join(entry.parentPath, entry.name)),
  );
  const newest = Math.max(...files.map((file) => statSync(file).mtimeMs));
  return existsSync(built) && statSync(built).mtimeMs >= newest;
}

function compile() {
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

/** The service itself, without a folder of its own. */
function servesPage(args) {
  const isOwn = process.env.STATIC_DIR || args.some((arg) => /^--static-dir(?:=|$)/.test(arg));
  return !isOwn && args[0] !== 'score' && !args.includes('--help') && !args.includes('-h');
}

/** The service starts without the page where that cannot be built. */
function offerPage() {
  const sources = [
    'src/probe',
    'src/wire',
    'demo',
    'clients/typescript/src',
    'reference',
    'scripts/build-page.js',
  ];
  if (!isFresh(path.join(PAGE, 'index.html'), sources)) {
    process.stderr.write('Building the page ...\n');
    const { status } = spawnSync(process.execPath, [path.join(ROOT, 'scripts', 'build-page.js')], {
      stdio: 'inherit',
    });
    if (status !== 0) return;
  }
  process.env.STATIC_DIR = PAGE;
}
