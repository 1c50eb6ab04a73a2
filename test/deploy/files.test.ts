/** The files for deployment fit together and with the settings of the service. These checks need no tools. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { parse } from 'yaml';

import { parsePolicies } from '../../src/config/policies.js';
import { describeSettings } from '../../src/config/settings.js';

interface Compose {
  readonly services: Record<string, { volumes?: string[]; environment?: Record<string, string> }>;
  readonly volumes: Record<string, unknown>;
}

const SETTINGS = new Set(describeSettings().map(({ name }) => name));
const compose = parse(readFileSync('docker/compose.yml', 'utf8')) as Compose;

test('everything that compose mounts exists', () => {
  for (const [name, { volumes = [] }] of Object.entries(compose.services)) {
    for (const volume of volumes) {
      const [source = ''] = volume.split(':');
      const exists = source.startsWith('.')
        ? existsSync(path.join('docker', source))
        : source in compose.volumes;
      assert.ok(exists, `${name}: ${source}`);
    }
  }
});

test('compose and Kubernetes set only known settings', () => {
  for (const name of Object.keys(compose.services['probe']?.environment ?? {}))
    assert.ok(SETTINGS.has(name), name);
  for (const file of ['base/deployment.yml', 'overlays/cpu/deployment.yml', 'overlays/gpu/deployment.yml']) {
    const text = readFileSync(`docker/kubernetes/${file}`, 'utf8');
    const names = [...text.matchAll(/- name: ([A-Z][A-Z_]+)$/gm)].map(([, name = '']) => name);
    assert.ok(names.length > 0, file);
    for (const name of names) assert.ok(SETTINGS.has(name), `${file}: ${name}`);
  }
});

test('the mounted policies are valid', () => {
  for (const file of ['docker/compose/policies.json', 'docker/kubernetes/base/policies.json'])
    assert.equal(parsePolicies(readFileSync(file, 'utf8')).default?.policy.name, 'max_false_drop');
});
