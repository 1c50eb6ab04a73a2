/**
 * Checks the Dockerfiles, compose.yml and the Kubernetes files with hadolint, compose-spec, kustomize and kubernetes-validate.
 * `npm run test:deploy`
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { parseAllDocuments } from 'yaml';

/** Runs a tool and returns its output. */
function runTool(command: string, parameters: readonly string[]): string {
  const { error, status, stdout, stderr } = spawnSync(command, parameters, { encoding: 'utf8' });
  assert.ok(!error, `${command} is missing: install it as .ci/run does`);
  assert.equal(status, 0, `${command} ${parameters.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}

type Labels = Record<string, string>;

interface Resource {
  readonly kind: string;
  readonly spec: {
    readonly selector?: { matchLabels: Labels } | Labels;
    readonly podSelector?: { matchLabels: Labels };
    readonly ingress?: readonly { from: readonly { podSelector: { matchLabels: Labels } }[] }[];
    readonly template?: { readonly metadata: { labels: Labels }; readonly spec: Pod };
  };
}

interface Pod {
  readonly securityContext: object;
  readonly terminationGracePeriodSeconds: number;
  readonly containers: readonly {
    readonly image: string;
    readonly env: readonly { name: string; value?: string }[];
    readonly securityContext: object;
    readonly livenessProbe: { httpGet: { path: string } };
    readonly readinessProbe: { httpGet: { path: string } };
    readonly startupProbe: { httpGet: { path: string } };
    readonly lifecycle: { preStop: { sleep: { seconds: number } } };
  }[];
}

for (const file of ['Dockerfile', 'docker/Dockerfile.cuda'])
  test(`hadolint ${file}`, () => void runTool('hadolint', [file]));

test('compose.yml follows the Compose specification', () => {
  const script =
    'import compose_spec, sys; compose_spec.PyCompose.from_yaml(open(sys.argv[1]).read()).to_spec()';
  runTool('python3', ['-c', script, 'docker/compose.yml']);
});

for (const overlay of ['cpu', 'gpu']) {
  const render = (): string => runTool('kubectl', ['kustomize', `docker/kubernetes/overlays/${overlay}`]);
  const renderResources = () => parseAllDocuments(render()).map((document) => document.toJS() as Resource);

  test(`overlay ${overlay}: is valid by the schemas of Kubernetes`, (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'kubernetes-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'rendered.yml');
    writeFileSync(file, render());
    const text = runTool('kubernetes-validate', ['--strict', '--no-warn', file]);
    const kinds = [
      'deployment',
      'service',
      'poddisruptionbudget',
      'horizontalpodautoscaler',
      'networkpolicy',
    ];
    for (const kind of kinds) assert.match(text, new RegExp(`passed for resource ${kind}/diffusion-probe`));
  });

  test(`overlay ${overlay}: everything selects the pods of the service, and traffic may come only from other pods`, () => {
    const resources = renderResources();
    const labels = find(resources, 'Deployment').spec.template?.metadata.labels ?? {};
    const [name = ''] = Object.values(labels);
    assert.deepEqual(labels, { 'app.kubernetes.io/name': name });
    for (const kind of ['Deployment', 'PodDisruptionBudget', 'ServiceMonitor'])
      assert.deepEqual(find(resources, kind).spec.selector, { matchLabels: labels }, kind);
    assert.deepEqual(find(resources, 'Service').spec.selector, labels);
    const policy = find(resources, 'NetworkPolicy').spec;
    assert.deepEqual(policy.podSelector, { matchLabels: labels });
    for (const source of (policy.ingress ?? []).flatMap(({ from }) => from))
      assert.notEqual(source.podSelector.matchLabels['app.kubernetes.io/name'], name);
  });

  test(`overlay ${overlay}: the probes, the time to drain and the security context`, () => {
    const resources = renderResources();
    const pod = find(resources, 'Deployment').spec.template?.spec ?? assert.fail();
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

function find(resources: readonly Resource[], kind: string): Resource {
  return resources.find((resource) => resource.kind === kind) ?? assert.fail(kind);
}
