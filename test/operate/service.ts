/** Owns the real service process for the test: two versions of the shipped probe, files that the operator may edit. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';

import type { Manifest } from '../../src/engine/manifest.js';

const MAIN = new URL('../../src/main.js', import.meta.url).pathname;
const SHIPPED = path.join('models', 'pictogram', '1');

export const STABLE = 1;
export const CANARY = 2;
/** High enough that there is much to drop, and much of that explored. */
export const ALPHA = 0.6;
export const EXPLORE_RATE = 0.5;

export interface RunningService {
  readonly origin: string;
  readonly manifest: Manifest;
  /** Writes something into the policies file that cannot be used. */
  breakPolicies(): Promise<void>;
}

/** Starts it on a free port, one worker on the CPU; ended after the test. */
export async function startService(t: TestContext): Promise<RunningService> {
  const folder = await mkdtemp(path.join(tmpdir(), 'operate-'));
  const models = path.join(folder, 'models');
  const manifest = JSON.parse(await readFile(path.join(SHIPPED, 'probe.json'), 'utf8')) as Manifest;
  for (const version of [STABLE, CANARY]) {
    const copy = path.join(models, manifest.name, String(version));
    await cp(SHIPPED, copy, { recursive: true });
    await writeFile(path.join(copy, 'probe.json'), JSON.stringify({ ...manifest, version }));
  }
  const policies = path.join(folder, 'policies.json');
  const policy = { name: 'max_false_drop', alpha: ALPHA, explore: { rate: EXPLORE_RATE } };
  await writeFile(policies, JSON.stringify({ default: { policy } }));
  const child = spawn(process.execPath, ['--enable-source-maps', MAIN], {
    env: {
      PATH: process.env['PATH'],
      PORT: '0',
      DEVICE: 'cpu',
      WORKERS: '1',
      MODELS_DIR: models,
      POLICIES_FILE: policies,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(async () => {
    const ended = once(child, 'exit');
    if (child.kill('SIGTERM')) await ended;
    await rm(folder, { recursive: true, force: true });
  });
  const origin = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the service ended with ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { msg, url } = JSON.parse(line) as { msg?: string; url?: string };
      if (msg === 'listening' && url !== undefined) resolve(url);
    });
  });
  return { origin, manifest, breakPolicies: () => writeFile(policies, '{"default": ') };
}
