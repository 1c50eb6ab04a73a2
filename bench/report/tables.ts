/** Owns how results are laid out as text. */
import type { LoadRun, RawRun } from '../bench-context.js';
import type { MemoryReading } from '../phases/memory.js';
import { type Figure, isReached } from './figures.js';

const BYTES_PER_MIB = 1_048_576;
const US_PER_SECOND = 1e6;
const JSON_DIGITS = 4;
const NOTHING = '-';
/** The columns of the table of loads. */
const LOAD_COLUMNS: readonly (readonly [string, (run: LoadRun) => string])[] = [
  ['server', (run) => run.rival],
  ['load', (run) => run.load],
  ['arrivals', (run) => run.arrivals],
  ['sent/s', (run) => number(run.sent / run.seconds, 0)],
  ['samples/s', (run) => number(run.samplesPerSecond, 0)],
  ['p50 ms', ({ latencyMs }) => number(latencyMs.p50, 2)],
  ['p90', ({ latencyMs }) => number(latencyMs.p90, 2)],
  ['p99', ({ latencyMs }) => number(latencyMs.p99, 2)],
  ['p99.9', ({ latencyMs }) => number(latencyMs.p999, 2)],
  ['max', ({ latencyMs }) => number(latencyMs.max, 2)],
  ['CPU µs/sample', (run) => number(run.serverCpuPerSample * US_PER_SECOND, 0)],
  ['cores: server', (run) => number(run.serverCpuSeconds / run.wallSeconds, 2)],
  ['generator', (run) => number(run.generatorCpuSeconds / run.wallSeconds, 2)],
  ['failed open', (run) => String(run.failedOpen)],
  ['refused', (run) => String(run.refused)],
  ['late', (run) => String(run.late)],
  ['lost', (run) => String(run.lost)],
  ['lag p99 ms', ({ lagMs }) => number(lagMs.p99, 2)],
];

export function rawTable(runs: readonly RawRun[]): string {
  return table([
    ['raw: options', 'batch', 'samples/s', 'CPU µs/sample', 'ms/run'],
    ...runs.map(({ order, samplesPerSecond, cpuPerSample, runMs }) => [
      order.sessions === undefined ? order.layout : `${order.layout}, one session`,
      String(order.batch),
      number(samplesPerSecond, 0),
      number(cpuPerSample * US_PER_SECOND, 0),
      number(runMs, 3),
    ]),
  ]);
}

export function loadTable(runs: readonly LoadRun[]): string {
  const head = LOAD_COLUMNS.map(([name]) => name);
  return table([head, ...runs.map((run) => LOAD_COLUMNS.map(([, cell]) => cell(run)))]);
}

export function memoryTable(readings: readonly MemoryReading[]): string {
  const rows = readings.map(({ requests, bytes }) => [String(requests), number(bytes / BYTES_PER_MIB, 1)]);
  return table([['memory: requests', 'resident MiB'], ...rows]);
}

export function figureTable(figures: readonly Figure[]): string {
  return table([
    ['figure', 'value', 'goal', 'reached', 'what it is'],
    ...figures.map((figure) => [
      figure.name,
      figure.value === null ? NOTHING : number(figure.value, 3),
      'atLeast' in figure.goal ? `≥ ${figure.goal.atLeast}` : `≤ ${figure.goal.atMost}`,
      reachedText(figure),
      figure.meaning,
    ]),
  ]);
}

/** The last line of the output: the figures alone, for programs. */
export function jsonLine(figures: readonly Figure[]): string {
  return JSON.stringify(
    Object.fromEntries(figures.map(({ name, value }) => [name, value && rounded(value)])),
  );
}

function rounded(value: number): number {
  return Number(value.toFixed(JSON_DIGITS));
}

function reachedText(figure: Figure): string {
  const isGoalReached = isReached(figure);
  if (isGoalReached === undefined) return 'not measured';
  if (isGoalReached) return 'yes';
  return figure.flaw === undefined ? 'no' : `no: ${figure.flaw}`;
}

function number(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : NOTHING;
}

function table([head = [], ...rows]: readonly (readonly string[])[]): string {
  const widths = head.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
