/**
 * Owns the checks of images, compose and Kubernetes by the tools made for it: hadolint, the Compose specification,
 * kustomize and the schemas of Kubernetes. `npm run test:deploy`
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { parseAllDocuments } from 'yaml';

/** All of them from PyPI: see .ci/run. */
function run(command: string, parameters: readonly string[]): string {
  const { error, status, stdout, stderr } = spawnSync(command, parameters, { encoding: 'utf8' });
  assert.ok(!error, `${command} is missing: .ci/run says how it is installed`);
  assert.equal(status, 0, `${command} ${parameters.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}

interface Labelled {
  readonly matchLabels: Record<string, string>;
}

interface Resource {
  readonly kind: string;
  readonly spec: {
    readonly selector?: Labelled | Record<string, string>;
    readonly podSelector?: Labelled;
    readonly ingress?: readonly { from: readonly { podSelector: Labelled }[] }[];
    readonly template?: {
      readonly metadata: { labels: Record<string, string> };
      readonly spec: {
        securityContext: object;
        terminationGracePeriodSeconds: number;
        containers: Container[];
      };
    };
  };
}

interface Container {
  readonly image: string;
  readonly env: readonly { name: string; value?: string }[];
  readonly securityContext: object;
  readonly livenessProbe: { httpGet: { path: string } };
  readonly readinessProbe: { httpGet: { path: string } };
  readonly startupProbe: { httpGet: { path: string } };
  readonly lifecycle: { preStop: { sleep: { seconds: number } } };
}

for (const file of ['Dockerfile', 'docker/Dockerfile.cuda'])
  test(`hadolint ${file}`, () => void run('hadolint', [file]));

test('compose.yml follows the Compose specification', () => {
  const script =
    'import compose_spec, sys; compose_spec.PyCompose.from_yaml(open(sys.argv[1]).read()).to_spec()';
  run('python3', ['-c', script, 'docker/compose.yml']);
});

for (const overlay of ['cpu', 'gpu']) {
  const rendered = (): string => run('kubectl', ['kustomize', `docker/kubernetes/overlays/${overlay}`]);

  test(`overlay ${overlay}: follows the schemas of Kubernetes`, (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'kubernetes-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'rendered.yml');
    writeFileSync(file, rendered());
    const text = run('kubernetes-validate', ['--strict', '--no-warn', file]);
    for (const kind of [
      'deployment',
      'service',
      'poddisruptionbudget',
      'horizontalpodautoscaler',
      'networkpolicy',
    ])
      assert.match(text, new RegExp(`passed for resource ${kind}/diffusion-probe`));
  });

  test(`overlay ${overlay}: everything selects the service's pods, and sources of traffic are others`, () => {
    const resources = parseAllDocuments(rendered()).map((document) => document.toJS() as Resource);
    const labels = of(resources, 'Deployment').spec.template?.metadata.labels ?? {};
    const [name = ''] = Object.values(labels);
    assert.deepEqual(labels, { 'app.kubernetes.io/name': name });
    for (const kind of ['Deployment', 'PodDisruptionBudget', 'ServiceMonitor'])
      assert.deepEqual(of(resources, kind).spec.selector, { matchLabels: labels }, kind);
    assert.deepEqual(of(resources, 'Service').spec.selector, labels);
    const policy = of(resources, 'NetworkPolicy').spec;
    assert.deepEqual(policy.podSelector, { matchLabels: labels });
    for (const source of (policy.ingress ?? []).flatMap(({ from }) => from))
      assert.notEqual(source.podSelector.matchLabels['app.kubernetes.io/name'], name);
  });

  test(`overlay ${overlay}: full is not dead, there is time to drain, and nothing may write or be root`, () => {
    const resources = parseAllDocuments(rendered()).map((document) => document.toJS() as Resource);
    const pod = of(resources, 'Deployment').spec.template?.spec ?? assert.fail();
    const [container] = pod.containers;
    assert.ok(container);
    assert.equal(container.livenessProbe.httpGet.path, '/livez');
    assert.equal(container.startupProbe.httpGet.path, '/livez');
    assert.equal(container.readinessProbe.httpGet.path, '/readyz');
    const setting = (name: string): number =>
      Number(container.env.find((entry) => entry.name === name)?.value ?? NaN);
    const shutdownSeconds = 20;
    const needed =
      container.lifecycle.preStop.sleep.seconds + setting('DRAIN_DELAY_MS') / 1000 + shutdownSeconds;
    assert.ok(pod.terminationGracePeriodSeconds > needed, `${pod.terminationGracePeriodSeconds} s`);
    assert.match(JSON.stringify(pod.securityContext), /"runAsNonRoot":true.*"runAsUser":[1-9]/);
    assert.match(
      JSON.stringify(container.securityContext),
      /"allowPrivilegeEscalation":false.*"drop":\["ALL"\].*"readOnlyRootFilesystem":true/,
    );
    assert.match(container.image, /^diffusion-probe:\d/);
  });
}

function of(resources: readonly Resource[], kind: string): Resource {
  return resources.find((resource) => resource.kind === kind) ?? assert.fail(kind);
}
