/** Owns the real service process for the test: two versions of the shipped probe, files that the operator may edit. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';

import type { Manifest } from '../../src/probe/manifest.js';
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

/** Several of them, alike. */
export interface Replicas {
  readonly origins: readonly string[];
  readonly manifest: Manifest;
  readonly breakPolicies: () => Promise<void>;
  readonly mendPolicies: () => Promise<void>;
}

/** Starts it on a free port, one worker on the CPU; ended after the test. */
export async function startService(t: TestContext): Promise<RunningService> {
  const policy = { name: 'max_false_drop', alpha: ALPHA, explore: { rate: EXPLORE_RATE } };
  const { environment, manifest, breakPolicies, remove } = await writeFiles(policy);
  const { origin, stop } = await startServiceProcess(t, environment);
  t.after(stop);
  t.after(remove);
  return { origin, manifest, breakPolicies };
}

/** Starts so many that share their models, policies and keys, under the default policy with a tenth explored. */
export async function startReplicas(t: TestContext, count: number): Promise<Replicas> {
  const policy = { name: 'max_false_drop', alpha: 0.05, explore: { rate: 0.1 } };
  const { environment, remove, ...shared } = await writeFiles(policy);
  const origins: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const { origin, stop } = await startServiceProcess(t, environment);
    t.after(stop);
    origins.push(origin);
  }
  t.after(remove);
  return { origins, ...shared };
}

/** Two versions of the shipped probe, and the operator's files. */
async function writeFiles(policy: object) {
  const folder = await mkdtemp(path.join(tmpdir(), 'operate-'));
  const models = path.join(folder, 'models');
  const manifest = JSON.parse(await readFile(path.join(SHIPPED, 'probe.json'), 'utf8')) as Manifest;
  for (const version of [STABLE, CANARY]) {
    const copy = path.join(models, manifest.name, String(version));
    await cp(SHIPPED, copy, { recursive: true });
    await writeFile(path.join(copy, 'probe.json'), JSON.stringify({ ...manifest, version }));
  }
  const policies = path.join(folder, 'policies.json');
  const mendPolicies = (): Promise<void> => writeFile(policies, JSON.stringify({ default: { policy } }));
  await mendPolicies();
  const keys = path.join(folder, 'keys.json');
  const secret = Buffer.alloc(32, 7).toString('base64');
  await writeFile(keys, JSON.stringify({ keys: [{ id: 'a', secret }] }));
  return {
    manifest,
    environment: { MODELS_DIR: models, POLICIES_FILE: policies, FEEDBACK_KEYS_FILE: keys },
    breakPolicies: () => writeFile(policies, '{"default": '),
    mendPolicies,
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
