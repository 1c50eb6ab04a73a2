/** Each folder imports only what the table allows, and the table allows no circle. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

/** A folder, or a single file where the folder's other files may import more. Each may import only entries above it. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'src/disclosure.ts': [],
  'src/errors.ts': ['src/disclosure.ts'],
  'src/running-clock.ts': [],
  'src/prediction-margin.ts': [],
  'src/terminal': [],
  'src/wire': ['src/disclosure.ts', 'src/errors.ts'],
  'src/probe': ['src/disclosure.ts', 'src/errors.ts', 'src/wire'],
  'src/decision': ['src/probe'],
  'src/feedback': ['src/decision', 'src/probe'],
  'src/config': ['src/errors.ts', 'src/terminal', 'src/wire', 'src/decision', 'src/feedback'],
  'src/engine/warm-up/batch-plan.ts': [],
  'src/engine/types.ts': [
    'src/running-clock.ts',
    'src/wire',
    'src/probe',
    'src/engine/warm-up/batch-plan.ts',
  ],
  'src/engine/worker': [
    'src/errors.ts',
    'src/running-clock.ts',
    'src/wire',
    'src/probe',
    'src/engine/types.ts',
  ],
  'src/engine/warm-up': [
    'src/errors.ts',
    'src/probe',
    'src/engine/warm-up/batch-plan.ts',
    'src/engine/types.ts',
    'src/engine/worker',
  ],
  'src/engine/pool': [
    'src/errors.ts',
    'src/probe',
    'src/engine/types.ts',
    'src/engine/worker',
    'src/engine/warm-up',
  ],
  'src/engine/proof': [
    'src/errors.ts',
    'src/running-clock.ts',
    'src/probe',
    'src/engine/types.ts',
    'src/engine/worker',
    'src/engine/warm-up/batch-plan.ts',
    'src/engine/warm-up',
  ],
  'src/engine/batching': [
    'src/disclosure.ts',
    'src/errors.ts',
    'src/wire',
    'src/engine/types.ts',
    'src/engine/worker',
    'src/engine/pool',
    'src/prediction-margin.ts',
  ],
  'src/engine/repository': [
    'src/disclosure.ts',
    'src/errors.ts',
    'src/probe',
    'src/engine/types.ts',
    'src/engine/pool',
    'src/engine/proof',
    'src/engine/batching',
  ],
  'src/engine': [
    'src/errors.ts',
    'src/engine/types.ts',
    'src/engine/pool',
    'src/engine/proof',
    'src/engine/repository',
    'src/engine/batching',
  ],
  'src/telemetry': [
    'src/disclosure.ts',
    'src/errors.ts',
    'src/terminal',
    'src/probe',
    'src/decision',
    'src/feedback',
    'src/config',
    'src/engine/types.ts',
  ],
  'src/api': [
    'src/disclosure.ts',
    'src/errors.ts',
    'src/wire',
    'src/probe',
    'src/decision',
    'src/feedback',
    'src/config',
    'src/engine/types.ts',
    'src/prediction-margin.ts',
    'src/telemetry',
  ],
  'src/server': [
    'src/disclosure.ts',
    'src/errors.ts',
    'src/running-clock.ts',
    'src/terminal',
    'src/wire',
    'src/feedback',
    'src/config',
    'src/engine/types.ts',
    'src/prediction-margin.ts',
    'src/telemetry',
    'src/api',
  ],
  'src/commands': ['src/errors.ts', 'src/terminal'],
  'src/service.ts': [
    'src/errors.ts',
    'src/running-clock.ts',
    'src/terminal',
    'src/config',
    'src/engine',
    'src/telemetry',
    'src/api',
    'src/server',
  ],
  'src/main.ts': ['src/commands', 'src/service.ts'],
  'clients/typescript/src': [],
  'demo/world': ['src/wire', 'src/probe', 'clients/typescript/src'],
  'demo/world/node': ['demo/world'],
  'demo/drawing': ['src/probe', 'clients/typescript/src', 'demo/world'],
  'demo/page': ['clients/typescript/src', 'demo/world', 'demo/drawing'],
  'demo/pictures': ['demo/drawing', 'demo/page'],
  demo: [
    'src/terminal',
    'src/probe',
    'clients/typescript/src',
    'demo/world',
    'demo/world/node',
    'demo/drawing',
    'demo/page',
    'demo/pictures',
  ],
};

const PLACES = Object.keys(MAY_IMPORT);
const IMPORT = /(?:from|import\() ?'(\.[^']+)'|^import '(\.[^']+)'/gm;

/** The most specific entry of the table that a file belongs to. */
function placeOf(file: string): string | undefined {
  const holds = (place: string): boolean => file === place || file.startsWith(`${place}/`);
  return PLACES.filter(holds).toSorted((left, right) => right.length - left.length)[0];
}

/** All arrows between two places, each with the import that makes it. */
function arrows(): { from: string; to: string; file: string; target: string }[] {
  const files = ['src', 'clients', 'demo'].flatMap((root) =>
    readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.tsx?$/.test(file) && !file.includes('node_modules') && !file.includes('dist'))
      .map((file) => path.posix.join(root, file)),
  );
  return files.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(IMPORT)].flatMap(([, named, bare]) => {
      const target = path.posix.join(path.posix.dirname(file), named ?? bare ?? '').replace(/\.js$/, '.ts');
      const [from, to] = [placeOf(file), placeOf(target)];
      assert.ok(from !== undefined, `${file} belongs to no folder of the table`);
      assert.ok(to !== undefined, `${file} imports ${target}, which belongs to no folder of the table`);
      return from === to ? [] : [{ from, to, file, target }];
    }),
  );
}

test('every import is one that the table allows', () => {
  const wrong = arrows().filter(({ from, to }) => !MAY_IMPORT[from]?.includes(to));
  assert.deepEqual(
    wrong.map(({ file, target }) => `${file} -> ${target}`),
    [],
  );
});

test('the table allows nothing that is not used', () => {
  const used = new Set(arrows().map(({ from, to }) => `${from} -> ${to}`));
  const allowed = PLACES.flatMap((from) => (MAY_IMPORT[from] ?? []).map((to) => `${from} -> ${to}`));
  assert.deepEqual(
    allowed.filter((arrow) => !used.has(arrow)),
    [],
  );
});

test('a place may import only what stands above it, so there is no circle', () => {
  for (const [index, place] of PLACES.entries())
    for (const other of MAY_IMPORT[place] ?? [])
      assert.ok(PLACES.indexOf(other) < index && PLACES.includes(other), `${place} -> ${other}`);
});

test('the client imports no package, except undici for its entry point for Node', () => {
  const folder = 'clients/typescript/src';
  const found = readdirSync(folder).flatMap((file) => {
    const text = readFileSync(path.join(folder, file), 'utf8');
    return [...text.matchAll(/from '([^.'][^']*)'/g)].map(([, name]) => `${file}: ${name}`);
  });
  assert.deepEqual(found, ['undici-http.ts: undici']);
});

test('few files lie flat in src/engine', () => {
  const files = readdirSync('src/engine', { withFileTypes: true }).filter((entry) => entry.isFile());
  assert.ok(files.length <= 8, files.map(({ name }) => name).join(', '));
});

test('what the page shares with Node imports no module of Node', () => {
  const folders = ['demo/world', 'demo/drawing', 'demo/page', 'clients/typescript/src'];
  const found = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.tsx?$/.test(file) && !file.startsWith('node/'))
      .filter((file) => /^import [^;]*from 'node:/m.test(readFileSync(path.join(folder, file), 'utf8')))
      .map((file) => `${folder}/${file}`),
  );
  assert.deepEqual(found, []);
});
