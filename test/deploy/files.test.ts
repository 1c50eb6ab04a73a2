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

test('a probe in ./models reaches the service of compose, as in the image', () => {
  const volumes = compose.services['probe']?.volumes ?? [];
  assert.ok(volumes.includes('../models:/app/models:ro'), volumes.join(', '));
  assert.match(readFileSync('Dockerfile', 'utf8'), /^WORKDIR \/app$[\s\S]*^COPY models models$/m);
});

test('an image has labels, a user that is not root, and a check of its health', () => {
  for (const file of ['Dockerfile', 'docker/Dockerfile.cuda']) {
    const [, final = ''] =
      /(?:AS base|^FROM \$\{CUDA_IMAGE\})([\s\S]*)$/m.exec(readFileSync(file, 'utf8')) ?? [];
    for (const label of ['title', 'description', 'version', 'revision', 'licenses'])
      assert.match(final, new RegExp(`org\\.opencontainers\\.image\\.${label}="`), `${file}: ${label}`);
    assert.match(final, /^USER [1-9]\d*:[1-9]\d*$/m, file);
    assert.match(final, /^HEALTHCHECK /m, file);
  }
});

test('the workflow publishes for amd64 and arm64, with a list of the contents and the provenance', () => {
  const { jobs } = parse(readFileSync('.github/workflows/images.yml', 'utf8')) as {
    jobs: {
      try: { steps: { run?: string }[] };
      publish: {
        needs: string;
        strategy: { matrix: { include: { file: string; platforms: string }[] } };
        steps: { uses?: string; with?: Record<string, unknown> }[];
      };
    };
  };
  const { needs, strategy, steps } = jobs.publish;
  const platforms = strategy.matrix.include.find(({ file }) => file === 'Dockerfile')?.platforms;
  assert.equal(platforms, 'linux/amd64,linux/arm64');
  const build = steps.find(({ uses = '' }) => uses.startsWith('docker/build-push-action@'))?.with;
  assert.deepEqual([build?.['sbom'], build?.['provenance']], [true, 'mode=max']);
  // An image is tried before it is published.
  assert.equal(needs, 'try');
  assert.ok(jobs.try.steps.some(({ run = '' }) => run.startsWith('bash docker/try-image.sh ')));
  assert.match(readFileSync('docker/try-image.sh', 'utf8'), /docker run .*--read-only --cap-drop ALL/);
});

test('the mounted policies are valid', () => {
  for (const file of ['docker/compose/policies.json', 'docker/kubernetes/base/policies.json'])
    assert.equal(parsePolicies(readFileSync(file, 'utf8')).default?.policy.name, 'max_false_drop');
});
