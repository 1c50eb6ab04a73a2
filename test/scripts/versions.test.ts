/** The service, both clients and the images have one version, and the changelog has a section for it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const VERSION = (JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version;

for (const [file, pattern] of [
  ['clients/typescript/package.json', /"version": "([^"]+)"/],
  ['python/diffusion_probe/__init__.py', /__version__ = "([^"]+)"/],
  ['Dockerfile', /ARG VERSION=(\S+)/],
  ['docker/Dockerfile.cuda', /ARG VERSION=(\S+)/],
  ['docker/kubernetes/overlays/cpu/kustomization.yml', /newTag: (\S+)/],
  ['docker/kubernetes/overlays/gpu/kustomization.yml', /newTag: (\S+)-cuda/],
] as const)
  test(`${file} has the version of package.json`, () => {
    assert.equal(pattern.exec(readFileSync(file, 'utf8'))?.[1], VERSION);
  });

test('the client’s package has the licence of the repository', () => {
  assert.equal(readFileSync('clients/typescript/LICENSE', 'utf8'), readFileSync('LICENSE', 'utf8'));
});

test('CHANGELOG.md has a section for the version', () => {
  assert.match(
    readFileSync('CHANGELOG.md', 'utf8'),
    new RegExp(`^## \\[${VERSION}\\] - \\d{4}-\\d{2}-\\d{2}$`, 'm'),
  );
});
