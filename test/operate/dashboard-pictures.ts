/**
 * Draws docs/dashboards: starts two replicas and a Prometheus on the shipped rules, plays some minutes of traffic in which
 * everything happens that the dashboards show, and draws each panel from its own queries. `npm run docs:dashboards`
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { ProbeClient, type ScoreInput } from '../../clients/typescript/src/index.js';
import { captured } from '../../demo/world/capture.js';
import { initialNoise } from '../../demo/world/noise.js';
import { Sampler } from '../../demo/world/sampler.js';
import { World } from '../../demo/world/world.js';
import type { Manifest } from '../../src/probe/manifest.js';
import { seededRandom } from '../support/samples.js';
import { committedScores } from '../support/test-scores.js';
import { fillIn, fillInLegend, readDashboards, type Target } from './panels.js';
import { until } from './program.js';
import { type Prometheus, startScrapingPrometheus, type TimeRange } from './prometheus.js';
import { CANARY, type Replicas, STABLE, startReplicas } from './service.js';

const SECONDS = Number(process.env['SCENE_SECONDS'] ?? 420);
const POLICY = { name: 'max_false_drop', alpha: 0.05, explore: { rate: 0.1 } } as const;
const GROUPS = 32;
const SAMPLES = 8;
const STEPS = [5, 10];
const RUSH_CALLERS = 32;
const random = seededRandom(2);

/** A group of the reference world, drawn to the end. */
interface Group {
  readonly caption: string;
  readonly inputs: ReadonlyMap<number, ScoreInput>;
  /** Quality of the finished image of each sample. */
  readonly qualities: readonly number[];
}

test('draw the dashboards', async (t) => {
  const replicas = await startReplicas(t, 2, POLICY);
  const addresses = replicas.origins.map((origin, index) => [
    `probe-${index + 1}:8080`,
    new URL(origin).host,
  ]);
  const groups = await drawGroups(replicas.manifest);
  const prometheus = await startScrapingPrometheus(t, Object.fromEntries(addresses));
  // An increase needs a scrape before the traffic.
  await until(
    'both replicas are scraped',
    async () => (await prometheus.query('diffusion_probe_ready == 1')).length === 2,
  );
  await playScene(replicas, groups);
  const to = Math.floor(Date.now() / 1000);
  await drawDashboards(prometheus, { from: to - SECONDS, to, step: Math.ceil(SECONDS / 210) });
});

async function drawGroups({ inputs: signals, capture }: Manifest): Promise<Group[]> {
  const world = await World.load('reference');
  const groups: Group[] = [];
  for (const { caption } of (await committedScores()).at(STEPS[0] ?? 0).slice(0, GROUPS)) {
    const encoded = await world.encode(caption);
    const noises = Array.from({ length: SAMPLES }, (_, seed) => [
      ...initialNoise(caption, seed, world.imageSize),
    ]);
    const sampler = new Sampler(world, encoded, Float32Array.from(noises.flat()));
    const inputs = new Map<number, ScoreInput>();
    while (!sampler.isFinished) {
      const step = await sampler.next();
      if (!STEPS.includes(step.step)) continue;
      inputs.set(step.step, captured(step, encoded, world.description, { inputs: signals, capture }));
    }
    groups.push({ caption, inputs, qualities: [...(await world.judge(sampler.images, encoded))] });
  }
  await world.close();
  return groups;
}

/**
 * The traffic rises and falls. The canary gets a growing share of it. A rush of callers with short deadlines exceeds what the
 * replicas can do, captions become harder, the policies file is broken for a while, and callers make mistakes.
 */
async function playScene(
  { origins, manifest, breakPolicies, restorePolicies }: Replicas,
  groups: readonly Group[],
) {
  const startedAt = performance.now();
  const timeShare = (): number => (performance.now() - startedAt) / 1000 / SECONDS;
  const at = (share: number): Promise<void> => delay(share * SECONDS * 1000);
  const connect = (deadlineMs: number) =>
    origins.map((origin) => new ProbeClient(origin, { deadlineMs, connections: RUSH_CALLERS }));
  const [patient, hurried] = [connect(2000), connect(60)];
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const hard = groups
    .toSorted((left, right) => mean(left.qualities) - mean(right.qualities))
    .slice(0, GROUPS / 3);
  let sent = 0;
  const score = (
    clients: ProbeClient[],
    { caption }: Group,
    [step, input]: [number, ScoreInput],
    version: number,
  ) => {
    sent += 1;
    return pick(clients).score(input, {
      model: `${manifest.name}@${version}`,
      group: caption,
      sampleIds: Array.from({ length: input.attention.shape[0] ?? 0 }, (_, index) => `${sent} ${index}`),
      step,
      totalSteps: manifest.capture.total_steps,
      captureId: manifest.capture_id,
    });
  };
  /** Scores a group at each step as long as it has samples, then reports the qualities of the finished images. */
  const follow = async (group: Group): Promise<void> => {
    const version = random() < 0.5 * (timeShare() - 0.2) ? CANARY : STABLE;
    let alive = [...group.qualities.keys()];
    const receipts: { receipt: string; quality: number; sample: number }[] = [];
    for (const [step, input] of group.inputs) {
      if (alive.length === 0) return;
      const { results, decisions } = await score(patient, group, [step, selectRows(input, alive)], version);
      for (const { index, receipt = '' } of results) {
        const sample = alive[index] ?? NaN;
        receipts.push({ receipt, sample, quality: group.qualities[sample] ?? NaN });
      }
      alive = alive.filter((_, index) => decisions[index] === 'keep');
    }
    await delay(3000 * (0.5 + random()));
    const items = receipts.filter(({ sample }) => alive.includes(sample));
    if (items.length > 0 && random() < 0.9) await pick(patient).feedback(items);
  };
  const makeMistake = async (): Promise<void> => {
    const group = pick(groups);
    const [step, input] = pick([...group.inputs]);
    const dice = random();
    if (dice < 0.02) await pick(patient).score({ ...input, timestep: 1 }, {});
    else if (dice < 0.03) await score(patient, group, [step, input], CANARY + 1);
    else if (dice < 0.04) await (await fetch(`${pick(origins)}/nowhere`)).text();
    else if (dice < 0.05) await pick(patient).feedback([{ receipt: 'none', quality: 0.5 }]);
  };
  const sendSteadily = async (): Promise<void> => {
    const open: Promise<void>[] = [];
    while (timeShare() < 1) {
      open.push(follow(pick(timeShare() < 0.62 ? groups : hard)), makeMistake());
      const groupsPerSecond = 3 + 2 * Math.sin(3 * Math.PI * timeShare());
      await delay((-Math.log(1 - random()) * 1000) / groupsPerSecond);
    }
    await Promise.all(open);
  };
  const rush = async (): Promise<void> => {
    await at(0.4);
    while (timeShare() < 0.5) {
      const group = pick(groups);
      await score(hurried, group, pick([...group.inputs]), STABLE);
    }
  };
  const policiesBroken = at(0.75).then(breakPolicies);
  await Promise.all([
    sendSteadily(),
    policiesBroken,
    at(0.87).then(restorePolicies),
    ...Array.from({ length: RUSH_CALLERS }, rush),
  ]);
  await Promise.all([...patient, ...hurried].map((client) => client.close()));
}

function pick<Value>(values: readonly Value[]): Value {
  return values[Math.floor(random() * values.length)] ?? assert.fail('nothing to pick from');
}

function selectRows(input: ScoreInput, rows: readonly number[]): ScoreInput {
  const { dtype, shape, data } = input.attention;
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const size = bytes.length / (shape[0] ?? 1);
  const selected = Buffer.concat(rows.map((row) => bytes.subarray(row * size, (row + 1) * size)));
  return { ...input, attention: { dtype, shape: [rows.length, ...shape.slice(1)], data: selected } };
}

/** Gives draw_dashboard.py each dashboard with the results of its queries in every target. */
async function drawDashboards(prometheus: Prometheus, range: TimeRange): Promise<void> {
  for (const [name, dashboard] of readDashboards()) {
    for (const { title, type, targets = [] } of dashboard.panels) {
      const isGraph = type === 'timeseries' || type === 'heatmap';
      const results = await Promise.all(
        targets.map((target) => queryTarget(prometheus, target, range, isGraph)),
      );
      const points = results.flat().flatMap((series) => series.points);
      assert.ok(
        type === 'row' || points.some(([, value]) => Number.isFinite(value)),
        `${title} shows nothing`,
      );
      for (const [index, target] of targets.entries()) Object.assign(target, { series: results[index] });
    }
    const picture = path.join('docs', 'dashboards', `${name}.png`);
    const { error, status, stderr } = spawnSync('python3', ['test/operate/draw_dashboard.py', picture], {
      input: JSON.stringify({ ...dashboard, ...range }),
      encoding: 'utf8',
    });
    assert.ok(!error && status === 0, `${picture} could not be drawn. Is matplotlib installed?\n${stderr}`);
  }
}

async function queryTarget(prometheus: Prometheus, target: Target, range: TimeRange, isGraph: boolean) {
  const query = fillIn(target.expr, '20s', `${SECONDS}s`);
  const found = isGraph
    ? await prometheus.queryRange(query, range)
    : (await prometheus.query(query, range.to)).map(({ labels, value }) => ({
        labels,
        points: [[range.to, value]] as const,
      }));
  return found.map((series) => ({ ...series, name: fillInLegend(target, series) }));
}
