/** Owns the real service process for the test: two versions of the shipped probe, files that the operator may edit. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';

import type { Manifest } from '../../src/engine/manifest.js';
import { startService as startServiceProcess } from '../support/process.js';

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
  const { origin, stop } = await startServiceProcess(t, { MODELS_DIR: models, POLICIES_FILE: policies });
  t.after(async () => {
    await stop();
    await rm(folder, { recursive: true, force: true });
  });
  return { origin, manifest, breakPolicies: () => writeFile(policies, '{"default": ') };
}
