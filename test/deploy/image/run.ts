/**
 * Owns `npm run test:image`: the CPU image built by the Dockerfile's own steps in a debootstrap folder, and proved to run.
 * `-- --base <folder>` keeps the Debian installation there for the next time.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { makeBase } from './base.js';
import { buildImage } from './build.js';
import { parseDockerfile } from './dockerfile.js';
import { proveImage } from './prove.js';

/** Where the registry's certificates stand while the image is built. */
const CERTIFICATES = '/run/build/certificates.pem';
/** Passed on to RUN as `docker build` would be told to. */
const PASSED_ON = /^(?:https?_proxy|no_proxy|npm_config_(?!user|global|prefix|cache|local).*)$/i;

const EXIT_FAILURE = 1;

const { values } = parseArgs({ options: { base: { type: 'string' }, inside: { type: 'string' } } });
const hindrance = whyNot();
if (hindrance !== undefined) tell(`NOT CHECKED: the image of the Dockerfile ${hindrance}.`);
else if (values.inside === undefined) again();
else await prove(values.inside);

function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'can only be built as root';
  if (spawnSync('debootstrap', ['--version']).error) return 'needs Debian’s package debootstrap';
  return undefined;
}

/** Once more, in a mount namespace of its own: all mounts end with it, and nothing is mounted where files are removed. */
function again(): void {
  const folder = mkdtempSync(path.join(tmpdir(), 'image-'));
  const own = [process.execPath, ...process.argv.slice(1), '--inside', folder];
  const { status } = spawnSync('unshare', ['--mount', '--propagation', 'private', ...own], {
    stdio: 'inherit',
  });
  process.exitCode = status ?? EXIT_FAILURE;
  rmSync(folder, { recursive: true, force: true });
}

async function prove(folder: string): Promise<void> {
  const base = path.resolve(values.base ?? path.join(folder, 'base'));
  mkdirSync(base, { recursive: true });
  makeBase(base, tell);
  const images = buildImage({
    dockerfile: parseDockerfile(readFileSync('Dockerfile', 'utf8')),
    context: '.',
    base: [lentFiles(path.join(folder, 'lent')), base],
    folder,
    buildEnvironment: buildEnvironment(),
    tell,
  });
  const service = images.get('service');
  if (!service) throw new Error('the Dockerfile has no stage service');
  await proveImage(service, tell);
}

/** What `docker build` lends to every RUN: how names are resolved, and here the registry's certificate too. */
function lentFiles(folder: string): string {
  const lend = (file: string, as = file): void => {
    const place = path.join(folder, as);
    mkdirSync(path.dirname(place), { recursive: true });
    cpSync(file, place, { dereference: true });
  };
  lend('/etc/resolv.conf');
  lend('/etc/hosts');
  const certificates = npmConfig('cafile');
  if (certificates !== undefined) lend(certificates, CERTIFICATES);
  return folder;
}

function buildEnvironment(): Record<string, string> {
  const passed = Object.entries(process.env).filter(
    (entry): entry is [string, string] => PASSED_ON.test(entry[0]) && entry[1] !== undefined,
  );
  const registry = npmConfig('registry');
  return {
    ...Object.fromEntries(passed),
    ...(registry !== undefined && { npm_config_registry: registry }),
    ...(npmConfig('cafile') !== undefined && { npm_config_cafile: CERTIFICATES }),
  };
}

function npmConfig(name: string): string | undefined {
  const value = spawnSync('npm', ['config', 'get', name], { encoding: 'utf8' }).stdout.trim();
  return value === 'null' || value === 'undefined' || value === '' ? undefined : value;
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}
