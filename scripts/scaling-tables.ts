/** Owns the tables in docs/scaling.md: what was measured on one replica, and what follows from it for a day's images. */
import { existsSync, readFileSync } from 'node:fs';

import type { ScalingPoint, ScalingResults } from './scaling-results.js';
import { markdownTable } from './markdown-table.js';
import { withMarked } from './marked-text.js';

const RESULTS = 'bench/scaling.json';
const SECONDS_PER_DAY = 86_400;
const HALF_BYTES = 2;
const FLOAT_BYTES = 4;
const BITS = 8;
const MASK_BYTES = 1;
const MEBI = 2 ** 20;

/** What docs/scaling.md assumes. */
export const ASSUMPTIONS = {
  stepsAsked: 1,
  groupSamples: 8,
  peakOverMean: 3,
  utilisation: 0.5,
  fewestReplicas: 2,
  /** As the capture does it unless told otherwise. */
  layers: 10,
  side: 16,
  tokens: { short: 24, long: 75 },
} as const;
const DEMANDS = [1e6, 1e9];

/** Heads, image places and text positions of one attention layer at 1024², of SD1.5 at 512². */
const BACKBONES = [
  { name: 'SD 1.5', heads: 8, places: 16 * 16, text: 77 },
  { name: 'SDXL', heads: 20, places: 32 * 32, text: 77 },
  { name: 'SD 3.5 Large', heads: 38, places: 64 * 64, text: 333 },
  { name: 'FLUX.1', heads: 24, places: 64 * 64, text: 512 },
  { name: 'Qwen-Image, 50 tokens', heads: 24, places: 64 * 64, text: 50 },
];

/** The text with its tables made anew; those of measurements are empty while nothing has been measured. */
export function withScaling(text: string): string {
  const results = existsSync(RESULTS)
    ? (JSON.parse(readFileSync(RESULTS, 'utf8')) as ScalingResults)
    : undefined;
  const parts = {
    replica: results ? replicaText(results) : '',
    wire: wireTable(),
    demand: results ? demandTable(results) : '',
  };
  return Object.entries(parts).reduce((made, [name, part]) => withMarked(made, name, part), text);
}

function replicaText(results: ScalingResults): string {
  const { machine, warning, connections, probe, costLine, points, series, residentBytes } = results;
  const { msPerPaddedToken, msPerRun, bestSamples } = costLine;
  const { reference, layers, height, width } = probe;
  const rows = points.map(({ tokens, load, bytesPerSample, ...measured }) => [
    String(tokens),
    load === 'single' ? '1' : String(ASSUMPTIONS.groupSamples),
    whole(measured.samplesPerSecond),
    measured.cpuMsPerSample.toFixed(2),
    measured.p50Ms.toFixed(1),
    measured.p99Ms.toFixed(1),
    kilobytes(bytesPerSample),
  ]);
  const head = [
    'tokens',
    'samples per request',
    'samples/s',
    'CPU ms/sample',
    'p50 ms',
    'p99 ms',
    'kB/sample',
  ];
  return [
    ...(warning === undefined ? [] : [`**${warning}**`]),
    `${machine}; probe ${reference}, ${layers} layers of ${height} × ${width}; closed loop at ${connections} connections.`,
    markdownTable(head, rows),
    `By \`GET /models\`, a batch takes ${msPerPaddedToken.toFixed(4)} ms · samples · tokens + ${msPerRun.toFixed(2)} ms on one worker, ` +
      `and batches beyond ${bestSamples} samples of the selftest bring next to nothing. At the end of the run the process held ` +
      `${whole(residentBytes / MEBI)} MiB, and its \`/metrics\` ${whole(series)} time series.`,
  ].join('\n\n');
}

function wireTable(): string {
  const { short, long } = ASSUMPTIONS.tokens;
  const rows = BACKBONES.map(({ name, heads, places, text }) => [
    name,
    `${heads} × ${whole(places)} × ${text}`,
    megabytes(heads * places * text * FLOAT_BYTES),
    kilobytes(sampleBytes(short)),
    text < long ? kilobytes(sampleBytes(text)) : kilobytes(sampleBytes(long)),
  ]);
  const head = [
    'backbone',
    'heads × places × text of a layer',
    'a layer as the backbone has it, F32',
    `sent, ${short} tokens`,
    `sent, ${long} tokens at most`,
  ];
  return markdownTable(head, rows);
}

function demandTable(results: ScalingResults): string {
  const { stepsAsked, groupSamples, peakOverMean, utilisation, fewestReplicas } = ASSUMPTIONS;
  const rows = DEMANDS.flatMap((images) =>
    Object.values(ASSUMPTIONS.tokens).map((tokens) => {
      const mean = (images * stepsAsked) / SECONDS_PER_DAY;
      const peak = mean * peakOverMean;
      const replicas = Math.max(
        fewestReplicas,
        Math.ceil(peak / (utilisation * at(results, tokens, ({ samplesPerSecond }) => samplesPerSecond))),
      );
      return [
        `${whole(images / 1e6)} million`,
        String(tokens),
        whole(mean),
        whole(peak),
        whole(Math.ceil(peak / groupSamples)),
        `${whole(replicas)} (${whole(replicas * results.cores)} cores)`,
        bitRate(peak * sampleBytes(tokens) * BITS),
        whole(replicas * results.series),
      ];
    }),
  );
  const head = [
    'images a day',
    'tokens',
    'samples/s, mean',
    'at the peak',
    'requests/s at the peak',
    'replicas',
    'network at the peak',
    'time series',
  ];
  return markdownTable(head, rows);
}

/** Of groups, between the two numbers of tokens that were measured around it. */
function at({ points }: ScalingResults, tokens: number, value: (point: ScalingPoint) => number): number {
  const groups = points.filter(({ load }) => load === 'group');
  const above = groups.find((point) => point.tokens >= tokens);
  const below = groups.findLast((point) => point.tokens <= tokens);
  if (!above || !below) throw new RangeError(`nothing was measured around ${tokens} tokens`);
  if (above === below) return value(above);
  const share = (tokens - below.tokens) / (above.tokens - below.tokens);
  // Time per sample is what grows evenly with tokens.
  return 1 / ((1 - share) / value(below) + share / value(above));
}

/** Attention and mask of one sample on the wire. */
function sampleBytes(tokens: number): number {
  const { layers, side } = ASSUMPTIONS;
  return tokens * (layers * side * side * HALF_BYTES + MASK_BYTES);
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function kilobytes(bytes: number): string {
  return `${whole(bytes / 1000)} kB`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function bitRate(bits: number): string {
  return bits >= 1e9 ? `${(bits / 1e9).toFixed(1)} Gbit/s` : `${whole(bits / 1e6)} Mbit/s`;
}
