/**
 * Sends known traffic to a real service that a real Prometheus scrapes, then compares every panel of every dashboard and every
 * rule with what was sent.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { parse } from 'yaml';

import { ALPHA, EXPLORE_RATE } from './expected-figures.js';
import { expectedAlerts, expectedPanels } from './expected-panels.js';
import { fillIn, fillInLegend, readDashboards, readPanels, seriesName } from './panels.js';
import { until } from './program.js';
import { type Prometheus, startScrapingPrometheus, WINDOW, WINDOW_SECONDS } from './prometheus.js';
import { CANARY, STABLE, startReplicas } from './service.js';
import { sendTraffic } from './traffic.js';

/** Rates over the whole test are exact at the moment of a scrape, except for rounding. */
const TOLERANCE = 0.001;
/**
 * Panels, and columns of tables. Recorded sums are evaluated between scrapes and extrapolated by up to 1.6 scrapes. Ratios of sums
 * are not affected.
 */
const EXTRAPOLATED: ReadonlyMap<string, number> = new Map([
  ['Weight of the evidence', 0.2],
  ['Good samples dropped', 0.2],
]);
/** After so many scrapes the extrapolation stays within that tolerance. */
const ENOUGH_SCRAPES = 12;
/** More lines in one panel cannot be told apart. */
const MAX_SERIES = 8;
/** Whether this alert fires depends on the speed of the machine. */
const MACHINE_ALERT = 'DiffusionProbeLatencyBudgetBurn';

test('every panel and every rule shows what was sent', async (t) => {
  const policy = { name: 'max_false_drop', alpha: ALPHA, explore: { rate: EXPLORE_RATE } } as const;
  const service = await startReplicas(t, 1, policy);
  const { host } = new URL(service.origins[0] ?? assert.fail());
  const prometheus = await startScrapingPrometheus(t, { [host]: host });
  // An increase needs a scrape before the traffic.
  await untilScraped(prometheus, 2);

  const sent = await sendTraffic(service);
  await service.breakPolicies();
  await until('the service refuses the broken file', async () => {
    const refused = await prometheus.query('diffusion_probe_file_refused{file="policies"} == 1');
    return refused.length === 1;
  });
  await untilScraped(prometheus, ENOUGH_SCRAPES);
  await untilEvaluated(prometheus);
  const at = await nextScrape(prometheus, Date.now() / 1000);

  await t.test('rules', () => checkRules(prometheus, at, expectedAlerts(sent, service)));
  await t.test('the metric of the autoscaler', async () => {
    const [sample, ...others] = await prometheus.query(autoscalerQuery(), at);
    assert.ok(sample && others.length === 0);
    assert.ok(sample.value >= 0 && sample.value < 1, String(sample.value));
  });
  await t.test('the marks of what was reloaded', () => checkEvents(prometheus, at));
  const expected = expectedPanels(sent, service);
  for (const panel of readPanels()) {
    await t.test(`${panel.dashboard}: ${panel.title}`, async () => {
      const figures = expected[panel.dashboard]?.[panel.title];
      assert.ok(figures, 'expected-panels.ts does not hold this panel');
      const values = new Map<string, number[]>();
      let lines = 0;
      for (const target of panel.targets) {
        const samples = await prometheus.query(fillIn(target.expr), at);
        const finite = samples.filter(({ value }) => Number.isFinite(value));
        assert.ok(finite.length > 0, `no data for ${target.expr}: ${JSON.stringify(samples)}`);
        lines += finite.length;
        for (const sample of finite) {
          const name = seriesName(panel, target, sample);
          values.set(name, [...(values.get(name) ?? []), sample.value]);
        }
      }
      assert.ok(panel.type !== 'timeseries' || lines <= MAX_SERIES, `${lines} lines`);
      for (const [name, value] of Object.entries(figures)) checkValue(panel.title, name, value, values);
    });
  }
});

/** The policies file was broken once, and both versions of the probe were loaded before the first scrape. */
async function checkEvents(prometheus: Prometheus, at: number): Promise<void> {
  for (const [dashboard, { annotations }] of readDashboards()) {
    const titles = new Map<string, string[]>();
    for (const { name, titleFormat, expr } of annotations.list) {
      const range = { from: at - WINDOW_SECONDS, to: at, step: 1 };
      const series = await prometheus.queryRange(fillIn(expr), range);
      titles.set(
        name,
        series.map((one) => fillInLegend(titleFormat, one)),
      );
    }
    assert.deepEqual(titles.get('Files refused'), ['policies refused'], dashboard);
    assert.deepEqual(titles.get('Files reloaded'), [], dashboard);
    const loaded = [STABLE, CANARY].map((version) => `pictogram@${version} loaded`);
    assert.deepEqual(titles.get('Probes loaded')?.toSorted(), loaded, dashboard);
  }
}

/** The query of prometheus-adapter, for a replica instead of a pod. */
function autoscalerQuery(): string {
  const values = parse(
    readFileSync('docker/kubernetes/components/horizontal-pod-autoscaler/prometheus-adapter.yml', 'utf8'),
  ) as {
    rules: { custom: [{ metricsQuery: string }] };
  };
  return values.rules.custom[0].metricsQuery
    .replaceAll('<<.GroupBy>>', 'instance')
    .replaceAll('<<.LabelMatchers>>', 'job="diffusion-probe"');
}

/** Several series can have one name, such as those of two policies. One of them must have the expected value. */
function checkValue(
  title: string,
  name: string,
  expected: number,
  values: ReadonlyMap<string, readonly number[]>,
): void {
  const found = values.get(name) ?? [];
  const [column = ''] = name.split(',');
  const relative = EXTRAPOLATED.get(title) ?? EXTRAPOLATED.get(column) ?? TOLERANCE;
  const tolerance = relative * Math.max(Math.abs(expected), TOLERANCE);
  assert.ok(
    found.some((value) => Math.abs(value - expected) <= tolerance),
    `${name}: expected ${expected}, found ${found.join(', ') || `only ${[...values.keys()].join('; ')}`}`,
  );
}

async function checkRules(prometheus: Prometheus, at: number, expectedAlertNames: string[]): Promise<void> {
  const rules = await prometheus.rules();
  for (const { name, query, type, health, lastError } of rules) {
    assert.equal(health, 'ok', `${name}: ${lastError}`);
    const samples = await prometheus.query(query, at);
    if (type === 'recording') assert.ok(samples.length > 0, `${name} is empty: ${query}`);
    // An alert without samples may be one whose metrics do not exist.
    for (const [metric] of query.matchAll(/\b(?:diffusion_probe|nodejs|process)[_:][a-z0-9_:]+/g)) {
      assert.ok(
        (await prometheus.query(`count(${metric})`, at)).length > 0,
        `${name} reads ${metric}, which does not exist`,
      );
    }
  }
  const firing = rules.filter(({ state }) => state === 'firing').map(({ name }) => name);
  const certain = [...new Set(firing)].filter((name) => name !== MACHINE_ALERT);
  assert.deepEqual(certain.toSorted(), expectedAlertNames.toSorted());
}

async function untilScraped(prometheus: Prometheus, times: number): Promise<void> {
  await until(`${times} scrapes`, async () => {
    const [count] = await prometheus.query(`count_over_time(diffusion_probe_build_info[${WINDOW}])`);
    return (count?.value ?? 0) >= times;
  });
}

/** Returns the time of a scrape after the given moment. Both are Unix times in s. */
async function nextScrape(prometheus: Prometheus, since: number): Promise<number> {
  let at = 0;
  await until('another scrape', async () => {
    const [sample] = await prometheus.query('timestamp(diffusion_probe_build_info)');
    at = sample?.value ?? 0;
    return at > since;
  });
  return at;
}

/** Three rounds, because groups are evaluated independently and some read the results of others. */
async function untilEvaluated(prometheus: Prometheus): Promise<void> {
  for (const round of ['first', 'second', 'third']) {
    const since = Date.now();
    await until(`the rules are evaluated, ${round} round`, async () =>
      (await prometheus.rules()).every(({ lastEvaluation }) => Date.parse(lastEvaluation) > since),
    );
  }
}
