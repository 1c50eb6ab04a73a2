/**
 * Owns the proof that dashboards and alerts show what happened: a real service, a real Prometheus on the shipped rules,
 * traffic whose truth is known, and then every expression of every panel and every rule. `npm run test:operate`
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { parse } from 'yaml';

import { expectations, expectedAlerts } from './expectations.js';
import { filledIn, readPanels, seriesName } from './panels.js';
import { type Prometheus, startPrometheus, until, WINDOW } from './prometheus.js';
import { startService } from './service.js';
import { sendTraffic } from './traffic.js';

/** Rates over the whole test are exact at the moment of a scrape; what is left is rounding. */
const TOLERANCE = 0.001;
/** Recorded sums are evaluated between scrapes, so they are extrapolated by up to 1.6 scrapes; ratios are not. */
const LOOSE: ReadonlyMap<string, number> = new Map([['Weight of the evidence', 0.2]]);
/** After so many, what is extrapolated is well within that. */
const ENOUGH_SCRAPES = 12;
/** Up to this machine and not to the traffic. */
const UP_TO_THE_MACHINE = 'DiffusionProbeLatencyBudgetBurn';

test('every panel and every rule shows what was sent', async (t) => {
  const service = await startService(t);
  const { host } = new URL(service.origin);
  const prometheus = await startPrometheus(t, { [host]: host });
  // Without a scrape before the traffic there is nothing to increase from.
  await scraped(prometheus, 2);

  const truth = await sendTraffic(service);
  await service.breakPolicies();
  await until('the broken file is noticed', async () => {
    const refused = await prometheus.query('diffusion_probe_file_refused{file="policies"} == 1');
    return refused.length === 1;
  });
  await scraped(prometheus, ENOUGH_SCRAPES);
  await evaluatedAgain(prometheus);
  const at = await scrapeAfter(prometheus, Date.now() / 1000);

  await t.test('rules', () => checkRules(prometheus, at, expectedAlerts(truth, service)));
  await t.test('the autoscaler’s metric', async () => {
    const [sample, ...others] = await prometheus.query(autoscalerQuery(), at);
    assert.ok(sample && others.length === 0);
    assert.ok(sample.value >= 0 && sample.value < 1, String(sample.value));
  });
  const expected = expectations(truth, service);
  for (const panel of readPanels()) {
    await t.test(`${panel.dashboard}: ${panel.title}`, async () => {
      const shown = expected[panel.dashboard]?.[panel.title];
      assert.ok(shown, 'what it must show is not known');
      const values = new Map<string, number[]>();
      for (const target of panel.targets) {
        const samples = await prometheus.query(filledIn(target.expr), at);
        const finite = samples.filter(({ value }) => Number.isFinite(value));
        assert.ok(finite.length > 0, `no data for ${target.expr}: ${JSON.stringify(samples)}`);
        for (const sample of finite) {
          const name = seriesName(panel, target, sample);
          values.set(name, [...(values.get(name) ?? []), sample.value]);
        }
      }
      for (const [name, value] of Object.entries(shown)) checkValue(panel.title, name, value, values);
    });
  }
});

/** What prometheus-adapter asks, for a replica instead of a pod. */
function autoscalerQuery(): string {
  const values = parse(readFileSync('docker/kubernetes/prometheus-adapter.yml', 'utf8')) as {
    rules: { custom: [{ metricsQuery: string }] };
  };
  return values.rules.custom[0].metricsQuery
    .replaceAll('<<.GroupBy>>', 'instance')
    .replaceAll('<<.LabelMatchers>>', 'job="diffusion-probe"');
}

/** A name can stand for several series, such as of two policies; one of them must be right. */
function checkValue(
  title: string,
  name: string,
  expected: number,
  values: ReadonlyMap<string, readonly number[]>,
): void {
  const found = values.get(name) ?? [];
  const room = (LOOSE.get(title) ?? TOLERANCE) * Math.max(Math.abs(expected), TOLERANCE);
  assert.ok(
    found.some((value) => Math.abs(value - expected) <= room),
    `${name}: expected ${expected}, found ${found.join(', ') || `only ${[...values.keys()].join('; ')}`}`,
  );
}

async function checkRules(prometheus: Prometheus, at: number, expectedAlertNames: string[]): Promise<void> {
  const rules = (await prometheus.rules()).flatMap((group) => group.rules);
  for (const { name, query, type, health, lastError } of rules) {
    assert.equal(health, 'ok', `${name}: ${lastError}`);
    const samples = await prometheus.query(query, at);
    if (type === 'recording') assert.ok(samples.length > 0, `${name} is empty: ${query}`);
    // An alert is empty when all is well, or when it asks for what does not exist; this tells them apart.
    for (const [metric] of query.matchAll(/\b(?:diffusion_probe|nodejs|process)[_:][a-z0-9_:]+/g)) {
      assert.ok((await prometheus.query(`count(${metric})`, at)).length > 0, `${name} asks for ${metric}`);
    }
  }
  const firing = rules.filter(({ state }) => state === 'firing').map(({ name }) => name);
  const unsure = new Set([UP_TO_THE_MACHINE]);
  assert.deepEqual(
    [...new Set(firing)].filter((name) => !unsure.has(name)).toSorted(),
    expectedAlertNames.toSorted(),
  );
}

async function scraped(prometheus: Prometheus, times: number): Promise<void> {
  await until(`${times} scrapes`, async () => {
    const [count] = await prometheus.query(`count_over_time(diffusion_probe_build_info[${WINDOW}])`);
    return (count?.value ?? 0) >= times;
  });
}

/** The moment of a scrape after the given one, Unix time, s: all that was sent and evaluated before is known at it. */
async function scrapeAfter(prometheus: Prometheus, since: number): Promise<number> {
  let at = 0;
  await until('another scrape', async () => {
    const [sample] = await prometheus.query('timestamp(diffusion_probe_build_info)');
    at = sample?.value ?? 0;
    return at > since;
  });
  return at;
}

/** More than once: groups are evaluated independently, and some build on others. */
async function evaluatedAgain(prometheus: Prometheus): Promise<void> {
  for (const round of ['first', 'second', 'third']) {
    const since = Date.now();
    await until(`the rules are evaluated, ${round} round`, async () =>
      (await prometheus.rules()).every(({ lastEvaluation }) => Date.parse(lastEvaluation) > since),
    );
  }
}
