/** Starts replicas of the real service that share two versions of the shipped probe, one policies file and their keys. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';

import type { Policy } from '../../src/decision/policy.js';
import { parseManifest } from '../../src/probe/folder.js';
import type { Manifest } from '../../src/probe/manifest.js';
import { startService } from '../support/process.js';

const SHIPPED = path.join('models', 'pictogram', '2');

export const STABLE = 1;
export const CANARY = 2;

export interface Replicas {
  readonly origins: readonly string[];
  readonly manifest: Manifest;
  /** Writes a policies file that cannot be parsed. */
  readonly breakPolicies: () => Promise<void>;
  /** Writes the policies file of the start again. */
  readonly restorePolicies: () => Promise<void>;
}

/** Each replica has a free port and one worker on the CPU. They are stopped after the test. */
export async function startReplicas(t: TestContext, count: number, policy: Policy): Promise<Replicas> {
  const folder = await mkdtemp(path.join(tmpdir(), 'operate-'));
  const models = path.join(folder, 'models');
  const text = await readFile(path.join(SHIPPED, 'probe.json'), 'utf8');
  const manifest = parseManifest(text);
  for (const version of [STABLE, CANARY]) {
    const copy = path.join(models, manifest.name, String(version));
    await cp(SHIPPED, copy, { recursive: true });
    await writeFile(
      path.join(copy, 'probe.json'),
      JSON.stringify({ ...(JSON.parse(text) as object), version }),
    );
  }
  const policies = path.join(folder, 'policies.json');
  const restorePolicies = (): Promise<void> => writeFile(policies, JSON.stringify({ default: { policy } }));
  await restorePolicies();
  const environment = {
    MODELS_DIR: models,
    POLICIES_FILE: policies,
    FEEDBACK_KEYS_FILE: await writeFeedbackKeys(folder),
  };
  const replicas = await Promise.all(Array.from({ length: count }, () => startService(t, environment)));
  t.after(async () => {
    await Promise.all(replicas.map(({ stop }) => stop()));
    await rm(folder, { recursive: true, force: true });
  });
  return {
    origins: replicas.map(({ origin }) => origin),
    manifest,
    breakPolicies: () => writeFile(policies, '{"default": '),
    restorePolicies,
  };
}

/** Writes a file for FEEDBACK_KEYS_FILE and returns its path. */
export async function writeFeedbackKeys(folder: string): Promise<string> {
  const file = path.join(folder, 'keys.json');
  const secret = Buffer.alloc(32, 7).toString('base64');
  await writeFile(file, JSON.stringify({ keys: [{ id: 'a', secret }] }));
  return file;
}
