/** The tables in docs/scaling.md: what one replica does, and what that means for a day's images. */
import { readFile } from 'node:fs/promises';

import { markdownTable } from './markdown.js';

const RESULTS = 'bench/scaling.json';
const SECONDS_PER_DAY = 86_400;
const F16_BYTES = 2;
const F32_BYTES = 4;
const BITS = 8;
const MASK_BYTES = 1;
const MEBI = 2 ** 20;

/** A closed loop of one load at one number of tokens. */
export interface ScalingPoint {
  readonly tokens: number;
  readonly load: 'single' | 'group';
  readonly bytesPerSample: number;
  readonly samplesPerSecond: number;
  /** CPU time of the service's process. */
  readonly cpuMsPerSample: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** The form of bench/scaling.json. */
export interface ScalingResults {
  readonly machine: string;
  /** Printed above the figures. */
  readonly warning?: string | undefined;
  readonly cores: number;
  readonly connections: number;
  readonly probe: {
    readonly reference: string;
    readonly layers: number;
    readonly height: number;
    readonly width: number;
  };
  /** As in GET /models: a batch takes msPerPaddedToken · samples · tokens + msPerRun on one worker. */
  readonly costLine: {
    readonly msPerPaddedToken: number;
    readonly msPerRun: number;
    readonly bestSamples: number;
  };
  readonly points: readonly ScalingPoint[];
  /** The time series in /metrics of one replica. */
  readonly series: number;
  /** Resident memory at the end of the measurement. */
  readonly residentBytes: number;
}

/** The assumptions that docs/scaling.md states. */
const ASSUMPTIONS = {
  stepsAsked: 1,
  groupSamples: 8,
  peakOverMean: 3,
  utilisation: 0.5,
  fewestReplicas: 2,
  /** The defaults of the capture. */
  layers: 10,
  side: 16,
  tokens: { short: 24, long: 75 },
} as const;
const DEMANDS = [1e6, 1e9];

/** Heads, image positions and text positions of one attention layer; images of 1024², SD 1.5 of 512². */
const BACKBONES = [
  { name: 'SD 1.5', heads: 8, positions: 16 * 16, text: 77 },
  { name: 'SDXL', heads: 20, positions: 32 * 32, text: 77 },
  { name: 'SD 3.5 Large', heads: 38, positions: 64 * 64, text: 333 },
  { name: 'FLUX.1', heads: 24, positions: 64 * 64, text: 512 },
  { name: 'Qwen-Image, 50 tokens', heads: 24, positions: 64 * 64, text: 50 },
];

/** The generated parts of docs/scaling.md by name. */
export async function scalingParts(): Promise<Record<string, string>> {
  const results = JSON.parse(await readFile(RESULTS, 'utf8')) as ScalingResults;
  return { replica: replicaText(results), wire: wireTable(), demand: demandTable(results) };
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
      `and batches of more than ${bestSamples} samples of the selftest are hardly more efficient. At the end of the run the process held ` +
      `${whole(residentBytes / MEBI)} MiB, and its \`/metrics\` ${whole(series)} time series.`,
  ].join('\n\n');
}

function wireTable(): string {
  const { short, long } = ASSUMPTIONS.tokens;
  const rows = BACKBONES.map(({ name, heads, positions, text }) => [
    name,
    `${heads} × ${whole(positions)} × ${text}`,
    megabytes(heads * positions * text * F32_BYTES),
    kilobytes(sampleBytes(short)),
    text < long ? kilobytes(sampleBytes(text)) : kilobytes(sampleBytes(long)),
  ]);
  const head = [
    'backbone',
    'heads × image × text positions of a layer',
    'a layer in the backbone, F32',
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
      const replicas = Math.max(fewestReplicas, Math.ceil(peak / (utilisation * rateAt(results, tokens))));
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

/** Samples/s in groups, interpolated between the nearest measured numbers of tokens. */
function rateAt({ points }: ScalingResults, tokens: number): number {
  const groups = points.filter(({ load }) => load === 'group');
  const above = groups.find((point) => point.tokens >= tokens);
  const below = groups.findLast((point) => point.tokens <= tokens);
  if (!above || !below) throw new RangeError(`nothing was measured around ${tokens} tokens`);
  if (above === below) return above.samplesPerSecond;
  const share = (tokens - below.tokens) / (above.tokens - below.tokens);
  // The time per sample, the inverse of the rate, is nearly linear in the number of tokens.
  return 1 / ((1 - share) / below.samplesPerSecond + share / above.samplesPerSecond);
}

/** The size of attention and mask of one sample in a request. */
function sampleBytes(tokens: number): number {
  const { layers, side } = ASSUMPTIONS;
  return tokens * (layers * side * side * F16_BYTES + MASK_BYTES);
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
