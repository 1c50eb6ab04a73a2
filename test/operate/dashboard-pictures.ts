/**
 * Draws docs/dashboards: starts two replicas and a Prometheus on the shipped rules, plays some minutes of traffic in which
 * everything happens that the dashboards show, and draws each panel from its own queries. `npm run docs:dashboards`
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { ProbeClient, type ScoreInput } from '../../clients/typescript/src/node.js';
import { readExample } from '../support/examples.js';
import { seededRandom } from '../support/samples.js';
import { fillIn, fillInLegend, readDashboards } from './panels.js';
import { until } from './program.js';
import { type Prometheus, startScrapingPrometheus } from './prometheus.js';
import { CANARY, type Replicas, STABLE, startReplicas } from './service.js';

const SECONDS = Number(process.env['SCENE_SECONDS'] ?? 420);
const POLICY = { name: 'max_false_drop', alpha: 0.05, explore: { rate: 0.25 } } as const;
const RUSH_CALLERS = 32;
/** Half of the requests bring policies of their own. */
const ALPHAS = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25];
const MAX_SERIES = 8;
/** A mark lasts as long as the window of its query. */
const MARK_SECONDS = 60;
const random = seededRandom(2);

test('draw the dashboards', async (t) => {
  const replicas = await startReplicas(t, 2, POLICY);
  const hosts = replicas.origins.map((origin, index) => [`probe-${index + 1}:8080`, new URL(origin).host]);
  const prometheus = await startScrapingPrometheus(t, Object.fromEntries(hosts));
  // An increase needs a scrape before the traffic.
  const countReady = async () => (await prometheus.query('diffusion_probe_ready == 1')).length;
  await until('both replicas are scraped', async () => (await countReady()) === 2);
  await playScene(replicas);
  await drawDashboards(prometheus);
});

/**
 * The traffic rises and falls, and callers make mistakes. From 20% of the time the canary gets a growing share. From 40% to 50%
 * there are more callers than the replicas can serve within their deadlines. From 62% scores are lower. From 75% to 87% the
 * policies file is broken. Qualities are made up: the score plus noise.
 */
async function playScene({ origins, manifest, ...policies }: Replicas): Promise<void> {
  // Mistakes and failures are part of the scene, and no call may be skipped after them.
  const scene = {
    connections: RUSH_CALLERS,
    breakerFailures: 0,
    onMistake: 'keep',
    onProblem: () => {},
  } as const;
  const connect = (deadlineMs: number) =>
    origins.map((origin) => new ProbeClient(origin, { deadlineMs, ...scene }));
  const [patient, hurried] = [connect(2000), connect(60)];
  const points = manifest.decision_points.filter(({ step }) => step === 5 || step === 10);
  let sent = 0;
  const score = (clients: readonly ProbeClient[], input: ScoreInput, version: number) => {
    sent += 1;
    const { step, timestep } = pick(points);
    const options = {
      model: `${manifest.name}@${version}`,
      policy: { ...POLICY, alpha: random() < 0.5 ? POLICY.alpha : pick(ALPHAS) },
      sampleIds: Array.from({ length: input.attention.shape[0] ?? 0 }, (_, index) => `${sent} ${index}`),
      step,
      totalSteps: manifest.total_steps,
      captureId: manifest.capture_id,
    };
    return pick(clients).score({ ...input, timestep }, options);
  };
  const example = await readExample('group');
  const { results: ranked } = await score(patient, example, STABLE);
  const byRank = ranked.toSorted((left, right) => left.rank - right.rank).map(({ index }) => index);
  const groups = Array.from({ length: 60 }, () => mixSamples(example, byRank.slice(0, 5)));
  const lowGroups = Array.from({ length: 20 }, () => mixSamples(example, byRank.slice(3)));

  const startedAt = performance.now();
  const progress = (): number => (performance.now() - startedAt) / 1000 / SECONDS;
  const at = (share: number): Promise<void> => delay(share * SECONDS * 1000);
  const scoreAndReport = async (group: ScoreInput): Promise<void> => {
    const version = random() < 0.5 * (progress() - 0.2) ? CANARY : STABLE;
    const { results } = await score(patient, group, version);
    await delay(3000 * (0.5 + random()));
    const items = results
      .filter(({ decision }) => decision === 'keep')
      .map((kept) => ({ receipt: kept.receipt ?? '', quality: kept.score + 0.4 * (random() - random()) }));
    if (items.length > 0 && random() < 0.9) await pick(patient).feedback(items);
  };
  const makeMistake = async (group: ScoreInput): Promise<void> => {
    const dice = random();
    if (dice < 0.02) await pick(patient).score({ ...group, timestep: 1 }, {});
    else if (dice < 0.03) await score(patient, group, CANARY + 1);
    else if (dice < 0.04) await (await fetch(`${pick(origins)}/nowhere`)).text();
    else if (dice < 0.05) await pick(patient).feedback([{ receipt: 'none', quality: 0.5 }]);
  };
  const sendSteadily = async (): Promise<void> => {
    const open: Promise<void>[] = [];
    while (progress() < 1) {
      open.push(scoreAndReport(pick(progress() < 0.62 ? groups : lowGroups)), makeMistake(example));
      const groupsPerSecond = 4 + 3 * Math.sin(3 * Math.PI * progress());
      await delay((-Math.log(1 - random()) * 1000) / groupsPerSecond);
    }
    await Promise.all(open);
  };
  const rush = async (): Promise<void> => {
    await at(0.4);
    while (progress() < 0.5) await score(hurried, pick(groups), STABLE);
  };
  const files = [at(0.75).then(policies.breakPolicies), at(0.87).then(policies.restorePolicies)];
  await Promise.all([sendSteadily(), ...files, ...Array.from({ length: RUSH_CALLERS }, rush)]);
  await Promise.all([...patient, ...hurried].map((client) => client.close()));
}

/** Makes a group of new samples: each has the first layers of one sample and the other layers of another. */
function mixSamples({ attention, ...input }: ScoreInput, from: readonly number[]): ScoreInput {
  const [samples = 0, layers = 0] = attention.shape;
  const source = attention.data as Uint8Array;
  const size = source.length / samples;
  const rows = Array.from({ length: samples }, () => {
    const split = (Math.floor(random() * layers) * size) / layers;
    const [first, second] = [pick(from) * size, pick(from) * size];
    return [source.subarray(first, first + split), source.subarray(second + split, second + size)];
  });
  return { ...input, attention: { ...attention, data: Buffer.concat(rows.flat()) } };
}

function pick<Value>(values: readonly Value[]): Value {
  return values[Math.floor(random() * values.length)] ?? assert.fail('nothing to pick from');
}

/**
 * Gives draw_dashboard.py each dashboard with the results of its queries as `series` in every target, and the times at which each
 * mark begins as `starts`.
 */
async function drawDashboards(prometheus: Prometheus): Promise<void> {
  const to = Math.floor(Date.now() / 1000);
  const range = { from: to - SECONDS, to, step: Math.ceil(SECONDS / 210) };
  for (const [name, dashboard] of readDashboards()) {
    for (const { title, type, targets = [] } of dashboard.panels) {
      const from = type === 'timeseries' || type === 'heatmap' ? range.from : to;
      let shown = 0;
      let lines = 0;
      for (const target of targets) {
        const found = await prometheus.queryRange(fillIn(target.expr, '20s', `${SECONDS}s`), {
          ...range,
          from,
        });
        lines += found.length;
        shown += found.flatMap(({ points }) => points).filter(([, value]) => Number.isFinite(value)).length;
        const series = found.map((one) => ({ ...one, name: fillInLegend(target.legendFormat, one) }));
        Object.assign(target, { series });
      }
      assert.ok(type === 'row' || shown > 0, `${name}: ${title} shows nothing`);
      assert.ok(type !== 'timeseries' || lines <= MAX_SERIES, `${name}: ${title} has ${lines} lines`);
    }
    for (const event of dashboard.annotations.list) {
      const found = await prometheus.queryRange(fillIn(event.expr), range);
      const starts = found.map(({ points: [[start] = [range.from]] }) => start);
      // What was loaded before the first scrape is no change.
      Object.assign(event, { starts: starts.filter((start) => start > range.from + MARK_SECONDS) });
    }
    const command = ['test/operate/draw_dashboard.py', `docs/dashboards/${name}.png`];
    const input = JSON.stringify({ ...dashboard, ...range });
    const { error, status, stderr } = spawnSync('python3', command, { input, encoding: 'utf8' });
    assert.ok(!error && status === 0, `${name} could not be drawn; is matplotlib installed?\n${stderr}`);
  }
}
