/** The figures are computed from the measurements as defined. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { LoadMeasurement, RawMeasurement } from '../../../bench/measure.js';
import type { OpenMeasurement } from '../../../bench/phases/open-loops.js';
import type { Round, ServerTurns } from '../../../bench/phases/rounds.js';
import { NODE_PEER } from '../../../bench/plan.js';
import { type FigureName, figuresOf, isReached, type Measured } from '../../../bench/report/figures.js';
import { figureTable, jsonLine } from '../../../bench/report/tables.js';

const NO_TIME = { p50: NaN, p90: NaN, p99: NaN, p999: NaN, max: NaN };

function rawRun(samplesPerSecond: number, cpuPerSample: number): RawMeasurement {
  const request = { kind: 'run', layout: 'narrow', batch: 8, seconds: 1 } as const;
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
  inferenceMs: NO_TIME,
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

/** At 75% of capacity, with this p99 of the service, time of a raw run and p99 of the best peer. */
function comparedRun(p99: number, rawRunMs: number, peerP99: number): OpenMeasurement {
  const peerRun = loadRun({ latencyMs: { ...NO_TIME, p99: peerP99 } });
  return { ...openRun(75, { latencyMs: { ...NO_TIME, p99 } }, rawRunMs), peer: peerRun };
}

/** A round on a machine that has this much of its speed. */
function round(speed: number, peers: readonly ServerTurns[] = []): Round {
  const p50 = (ms: number) => ({ ...NO_TIME, p50: ms / speed });
  return {
    fastest: rawRun(1000 * speed, 0.004),
    cheapest: rawRun(800 * speed, 0.001 / speed),
    rawSingle: rawRun(500 * speed, 0.002 / speed),
    service: {
      singles: loadRun({ samplesPerSecond: 800 * speed, serverCpuPerSample: 0.002 / speed }),
      single: loadRun({ latencyMs: p50(3), inferenceMs: p50(2), serverCpuPerSample: 0.003 / speed }),
      group: loadRun({ latencyMs: p50(8) }),
      groups: loadRun({ samplesPerSecond: 900 * speed }),
    },
    protocol: {
      infer: loadRun({ samplesPerSecond: 741 * speed }),
      score: loadRun({ samplesPerSecond: 780 * speed }),
    },
    manyGroups: loadRun({ samplesPerSecond: 900 * speed, serverCpuPerSample: 0.00125 / speed }),
    peers,
  };
}

/** A peer with these rates of samples and of groups, and these times of a lone sample and a lone group, ms. */
function peer(
  server: string,
  rates: readonly [number, number],
  times: readonly [number, number],
): ServerTurns {
  return {
    singles: loadRun({ server, samplesPerSecond: rates[0] }),
    groups: loadRun({ server, samplesPerSecond: rates[1] }),
    single: loadRun({ server, latencyMs: { ...NO_TIME, p50: times[0] } }),
    group: loadRun({ server, latencyMs: { ...NO_TIME, p50: times[1] } }),
  };
}

const NOTHING: Measured = {
  rounds: [],
  openSingles: [],
  memory: [],
  isMemoryFull: true,
  starts: { readySeconds: NaN, idleBytes: NaN },
  loopHolds: [],
  fairness: { alone: NOTHING_DONE, besideFlood: NOTHING_DONE },
};

function valuesOf(measured: Partial<Measured>): Record<FigureName, number | null> {
  return JSON.parse(jsonLine(figuresOf({ ...NOTHING, ...measured }))) as Record<FigureName, number | null>;
}

const peers = [
  peer(NODE_PEER, [1000, 1000], [1, 1]),
  peer('FastAPI, 1 process', [400, 600], [2, 16]),
  peer('FastAPI, 2 processes', [200, 750], [6, 10]),
];

test('ratios are computed within rounds, so a machine that slows down changes none', () => {
  const values = valuesOf({
    rounds: [round(1), round(0.1), round(0.5)],
    openSingles: [
      comparedRun(10, 2, 20),
      comparedRun(90, 10, 1000),
      comparedRun(8, 2, 10),
      openRun(200, { samplesPerSecond: 380, sent: 800, late: 1 }, 2),
      openRun(200, { samplesPerSecond: 95, sent: 400 }, 8, 100),
      openRun(200, { samplesPerSecond: 10, sent: 800, late: 2, lost: 1 }, 2),
    ],
    memory: [
      { requests: 10_000, bytes: 200 },
      { requests: 100_000, bytes: 210 },
    ],
  });
  const measured = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));
  assert.deepEqual(measured, {
    raw_cpu_ratio_c16: 0.5,
    raw_cpu_ratio_groups8: 0.8,
    raw_ratio_c16: 0.8,
    raw_ratio_groups8: 0.9,
    protocol_ratio_c16: 0.95,
    overhead_ms_c1: 2,
    cpu_ms_ratio_c1: 1.5,
    p99_ratio_75: 5,
    p99_peer_ratio_75: 0.5,
    goodput_200: 0.95,
    late_200: 0.002,
    rss_ratio: 1.05,
  });
});

test('the service is compared with the better FastAPI server for each figure', () => {
  const values = valuesOf({ rounds: [round(1, peers)] });
  assert.equal(values.peer_ratio_c16, 2);
  assert.equal(values.peer_p50_ratio_c1, 1.5);
  assert.equal(values.peer_group_p50_ratio_c1, 0.8);
  assert.equal(values.peer_group_ratio_c4, 1.2);
  const memory = [
    { requests: 1000, bytes: 2 },
    { requests: 5000, bytes: 3 },
  ];
  assert.equal(valuesOf({ memory, isMemoryFull: false }).rss_ratio, null);
});

test('the event loop’s figure is its longest hold, and starts are shown in the units of their names', () => {
  const hold = { name: '', bytes: 0, status: 200 };
  const values = valuesOf({
    loopHolds: [
      { ...hold, ms: 3 },
      { ...hold, ms: 12 },
    ],
    starts: { readySeconds: 1.5, idleBytes: 200 * 1_048_576 },
  });
  assert.equal(values.loop_ms_max, 12);
  assert.equal(values.ready_s, 1.5);
  assert.equal(values.pss_idle_mib, 200);
});

test('the polite client counts only where most of its requests are scored without the flood', () => {
  const scoredBeside = (usefulAlone: number) =>
    valuesOf({
      fairness: {
        alone: loadRun({ sent: 20, useful: usefulAlone }),
        besideFlood: loadRun({ sent: 80, useful: 76 }),
      },
    }).polite_scored;
  assert.equal(scoredBeside(18), 0.95);
  assert.equal(scoredBeside(17), null);
});

test('a goal is reached at its bound, and is neither reached nor missed without a measurement', () => {
  const figure = { name: 'rss_ratio', meaning: '', goal: 1 } as const;
  assert.equal(isReached({ ...figure, bound: '≤', value: 1 }), true);
  assert.equal(isReached({ ...figure, bound: '≤', value: 1.01 }), false);
  assert.equal(isReached({ ...figure, bound: '≥', value: 0.99 }), false);
  assert.equal(isReached({ ...figure, bound: '≥', value: null }), undefined);
  assert.match(figureTable([{ ...figure, bound: '≥', value: 0.99 }]), /0\.990 +≥ 1 +no/);
});
