/**
 * Checks the Dockerfiles, compose.yml, the Kubernetes files, the dashboards and the workflows with hadolint, compose-spec, kustomize,
 * kubernetes-validate, Grafana's Foundation SDK and check-jsonschema. `npm run test:deploy`
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';

import { parse, parseAllDocuments } from 'yaml';

/** Runs a tool and returns its output. */
function runTool(command: string, parameters: readonly string[]): string {
  const { error, status, stdout, stderr } = spawnSync(command, parameters, { encoding: 'utf8' });
  assert.ok(!error, `${command} is missing: install it as .ci/run does`);
  assert.equal(status, 0, `${command} ${parameters.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}

type Labels = Record<string, string>;

interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec: {
    readonly replicas?: number;
    readonly scaleTargetRef?: { readonly name: string };
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

test('the workflows follow the schema of GitHub', () => {
  const files = readdirSync('.github/workflows').map((file) => `.github/workflows/${file}`);
  runTool('check-jsonschema', ['--builtin-schema', 'vendor.github-workflows', ...files]);
});

test('the dashboards follow the schema of Grafana', () => {
  const files = readdirSync('docker/grafana/dashboards').map((file) => `docker/grafana/dashboards/${file}`);
  runTool('python3', ['test/deploy/check_dashboards.py', ...files]);
});

test('a dashboard with mistakes does not', (t) => {
  const text = readFileSync('docker/grafana/dashboards/service.json', 'utf8');
  const folder = mkdtempSync(path.join(tmpdir(), 'dashboard-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'service.json');
  for (const [right, wrong, message] of [
    ['"fillOpacity"', '"fillOpactiy"', /fillOpactiy: the schema has no such member/],
    ['"placement": "bottom"', '"placement": "left"', /'left' is none of/],
    ['"w": 4', '"w": "4"', /'4' is not of the type int/],
  ] as const) {
    assert.ok(text.includes(right));
    writeFileSync(file, text.replace(right, wrong));
    const { status, stderr } = spawnSync('python3', ['test/deploy/check_dashboards.py', file], {
      encoding: 'utf8',
    });
    assert.equal(status, 1);
    assert.match(stderr, message);
  }
});

/** The resources of an overlay with components, as a cluster's own kustomization combines them. */
function render(t: TestContext, overlay: string, components: readonly string[] = []): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'kustomize-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const from = (part: string): string => path.relative(folder, path.resolve('docker/kubernetes', part));
  const kustomization = {
    resources: [from(`overlays/${overlay}`)],
    components: components.map((name) => from(`components/${name}`)),
  };
  // JSON is valid YAML.
  writeFileSync(path.join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
  return runTool('kubectl', ['kustomize', folder]);
}

function resourcesOf(...from: Parameters<typeof render>): readonly Resource[] {
  return parseAllDocuments(render(...from)).map((document) => document.toJS() as Resource);
}

test('without components there are only kinds that every cluster has, and a fixed number of pods', (t) => {
  const resources = resourcesOf(t, 'cpu');
  for (const { apiVersion } of resources)
    assert.match(apiVersion, /^(?:v1|apps\/v1|policy\/v1|networking\.k8s\.io\/v1)$/);
  assert.equal(find(resources, 'Deployment').spec.replicas, 2);
});

test('the component prometheus-operator scrapes the pods of the service and brings the rules', (t) => {
  const resources = resourcesOf(t, 'cpu', ['prometheus-operator']);
  const labels = find(resources, 'Deployment').spec.template?.metadata.labels;
  assert.deepEqual(find(resources, 'ServiceMonitor').spec.selector, { matchLabels: labels });
  find(resources, 'PrometheusRule');
});

for (const [component, kind] of [
  ['horizontal-pod-autoscaler', 'HorizontalPodAutoscaler'],
  ['keda', 'ScaledObject'],
] as const)
  test(`the component ${component} scales the pods, whose number nothing else sets`, (t) => {
    const resources = resourcesOf(t, 'gpu', [component]);
    assert.equal(find(resources, kind).spec.scaleTargetRef?.name, 'diffusion-probe');
    assert.equal(find(resources, 'Deployment').spec.replicas, undefined);
  });

test('the component keda asks for the mean time in the queue, as prometheus-adapter does', (t) => {
  const [trigger] = (
    find(resourcesOf(t, 'cpu', ['keda']), 'ScaledObject').spec as unknown as {
      triggers: [{ metadata: { query: string; threshold: string } }];
    }
  ).triggers;
  const adapter = parse(
    readFileSync('docker/kubernetes/components/horizontal-pod-autoscaler/prometheus-adapter.yml', 'utf8'),
  ) as { rules: { custom: [{ metricsQuery: string }] } };
  const overAllPods = adapter.rules.custom[0].metricsQuery
    .replaceAll(' by (<<.GroupBy>>) ', '')
    .replaceAll(',<<.LabelMatchers>>', '');
  assert.equal(trigger.metadata.query, overAllPods);
});

for (const overlay of ['cpu', 'gpu']) {
  test(`overlay ${overlay}: is valid by the schemas of Kubernetes`, (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'kubernetes-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'rendered.yml');
    writeFileSync(file, render(t, overlay, ['horizontal-pod-autoscaler']));
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

  test(`overlay ${overlay}: everything selects the pods of the service, and traffic may come only from other pods`, (t) => {
    const resources = resourcesOf(t, overlay);
    const labels = find(resources, 'Deployment').spec.template?.metadata.labels ?? {};
    const [name = ''] = Object.values(labels);
    assert.deepEqual(labels, { 'app.kubernetes.io/name': name });
    for (const kind of ['Deployment', 'PodDisruptionBudget'])
      assert.deepEqual(find(resources, kind).spec.selector, { matchLabels: labels }, kind);
    assert.deepEqual(find(resources, 'Service').spec.selector, labels);
    const policy = find(resources, 'NetworkPolicy').spec;
    assert.deepEqual(policy.podSelector, { matchLabels: labels });
    for (const source of (policy.ingress ?? []).flatMap(({ from }) => from))
      assert.notEqual(source.podSelector.matchLabels['app.kubernetes.io/name'], name);
  });

  test(`overlay ${overlay}: the probes, the time to drain and the security context`, (t) => {
    const resources = resourcesOf(t, overlay);
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
