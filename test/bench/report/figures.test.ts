/** The figures are computed from the measurements as defined. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { LoadMeasurement, RawMeasurement } from '../../../bench/measure.js';
import type { OpenMeasurement } from '../../../bench/phases/loops.js';
import type { Round } from '../../../bench/phases/rounds.js';
import { type FigureName, figuresOf, isReached, type Measured } from '../../../bench/report/figures.js';
import { figureTable, jsonLine } from '../../../bench/report/tables.js';

const NO_TIME = { p50: NaN, p90: NaN, p99: NaN, p999: NaN, max: NaN };

function rawRun(samplesPerSecond: number, cpuPerSample: number): RawMeasurement {
  const request = { kind: 'run', layout: 'service', batch: 8, seconds: 1 } as const;
  return { request, samplesPerSecond, cpuPerSample, samples: 1, runMs: 1, scores: [] };
}

const NOTHING_DONE: LoadMeasurement = {
  server: 'service',
  load: 'single',
  arrivals: 'closed',
  seconds: 1,
  sent: 0,
  useful: 0,
  failedOpen: 0,
  refused: 0,
  late: 0,
  lost: 0,
  samples: 0,
  latencyMs: NO_TIME,
  lagMs: NO_TIME,
  connections: 1,
  wallSeconds: 1,
  serverCpuSeconds: 0,
  generatorCpuSeconds: 0,
  samplesPerSecond: NaN,
  serverCpuPerSample: NaN,
};

function loadRun(facts: Partial<LoadMeasurement>): LoadMeasurement {
  return { ...NOTHING_DONE, ...facts };
}

function openRun(
  percent: number,
  facts: Partial<LoadMeasurement>,
  rawRunMs: number,
  capacity = 400,
): OpenMeasurement {
  return { ...loadRun(facts), percent, rawRunMs, capacity };
}

/** A round on a machine that has this much of its speed. */
function round(speed: number, peers: readonly LoadMeasurement[] = []): Round {
  return {
    fastest: rawRun(1000 * speed, 0.004),
    cheapest: rawRun(800 * speed, 0.001 / speed),
    singles: loadRun({ samplesPerSecond: 800 * speed, serverCpuPerSample: 0.002 / speed }),
    groups: loadRun({ samplesPerSecond: 900 * speed, serverCpuPerSample: 0.00125 / speed }),
    peers,
    oneConnection: loadRun({ latencyMs: { ...NO_TIME, p50: 3 } }),
    oneConnectionPeers: peers,
  };
}

function valuesOf(measured: Measured): Record<FigureName, number | null> {
  return JSON.parse(jsonLine(figuresOf(measured))) as Record<FigureName, number | null>;
}

const peers = [
  loadRun({ samplesPerSecond: 400, latencyMs: { ...NO_TIME, p50: 2 } }),
  loadRun({ samplesPerSecond: 200, latencyMs: { ...NO_TIME, p50: 6 } }),
];

test('ratios are computed within rounds, so a machine that slows down changes none', () => {
  const values = valuesOf({
    rounds: [round(1), round(0.1), round(0.5)],
    openSingles: [
      openRun(75, { latencyMs: { ...NO_TIME, p99: 10 } }, 2),
      openRun(75, { latencyMs: { ...NO_TIME, p99: 90 } }, 10),
      openRun(75, { latencyMs: { ...NO_TIME, p99: 8 } }, 2),
      openRun(200, { samplesPerSecond: 380 }, 2),
      openRun(200, { samplesPerSecond: 95 }, 8, 100),
      openRun(200, { samplesPerSecond: 10 }, 2),
    ],
    memory: [
      { requests: 10_000, bytes: 200 },
      { requests: 100_000, bytes: 210 },
    ],
  });
  assert.deepEqual(values, {
    raw_cpu_ratio_c16: 0.5,
    raw_cpu_ratio_groups8: 0.8,
    raw_ratio_c16: 0.8,
    raw_ratio_groups8: 0.9,
    peer_ratio_c16: null,
    peer_p50_ratio_c1: null,
    p99_ratio_75: 5,
    goodput_200: 0.95,
    rss_ratio: 1.05,
  });
});

test('the service is compared with the best peer for each figure', () => {
  const values = valuesOf({ rounds: [round(1, peers)], openSingles: [], memory: undefined });
  assert.equal(values.peer_ratio_c16, 2);
  assert.equal(values.peer_p50_ratio_c1, 1.5);
  assert.equal(values.rss_ratio, null);
});

test('a late or lost answer at overload misses the goal of the goodput, whatever its value', () => {
  const goodput = (facts: Partial<LoadMeasurement>) => {
    const openSingles = [openRun(200, { samplesPerSecond: 400, ...facts }, 2)];
    const figures = figuresOf({ rounds: [], openSingles, memory: undefined });
    const figure = figures.find(({ name }) => name === 'goodput_200') ?? assert.fail();
    return { isReached: isReached(figure), row: figureTable([figure]) };
  };
  assert.equal(goodput({}).isReached, true);
  assert.equal(goodput({ lost: 1 }).isReached, false);
  const late = goodput({ late: 3, sent: 800 });
  assert.equal(late.isReached, false);
  assert.match(late.row, /1\.000 .* no: 3 of 800 late or lost/);
});

test('a goal is reached at its bound, and is neither reached nor missed without a measurement', () => {
  const figure = { name: 'rss_ratio', meaning: '' } as const;
  assert.equal(isReached({ ...figure, goal: { atMost: 1 }, value: 1 }), true);
  assert.equal(isReached({ ...figure, goal: { atMost: 1 }, value: 1.01 }), false);
  assert.equal(isReached({ ...figure, goal: { atLeast: 1 }, value: 0.99 }), false);
  assert.equal(isReached({ ...figure, goal: { atLeast: 1 }, value: null }), undefined);
});
