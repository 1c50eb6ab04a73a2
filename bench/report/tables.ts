/** The tables of the report as text. */
import type { LoadMeasurement, RawMeasurement } from '../measure.js';
import type { MemoryReading } from '../phases/memory.js';
import type { LoopHold } from '../phases/event-loop.js';
import { BYTES_PER_MIB, type Figure, isReached } from './figures.js';

const US_PER_SECOND = 1e6;
const JSON_DIGITS = 4;
const NOTHING = '-';
const REACHED = new Map<boolean | undefined, string>([
  [true, 'yes'],
  [false, 'no'],
]);
/** The columns of the table of loads. */
const LOAD_COLUMNS: readonly (readonly [string, (run: LoadMeasurement) => string])[] = [
  ['server', (load) => load.server],
  ['load', (load) => load.load],
  ['arrivals', (load) => load.arrivals],
  ['sent/s', (load) => number(load.sent / load.seconds, 0)],
  ['samples/s', (load) => number(load.samplesPerSecond, 0)],
  ['p50 ms', ({ latencyMs }) => number(latencyMs.p50, 2)],
  ['p90', ({ latencyMs }) => number(latencyMs.p90, 2)],
  ['p99', ({ latencyMs }) => number(latencyMs.p99, 2)],
  ['p99.9', ({ latencyMs }) => number(latencyMs.p999, 2)],
  ['max', ({ latencyMs }) => number(latencyMs.max, 2)],
  ['CPU µs/sample', (load) => number(load.serverCpuPerSample * US_PER_SECOND, 0)],
  ['cores: server', (load) => number(load.serverCpuSeconds / load.wallSeconds, 2)],
  ['generator', (load) => number(load.generatorCpuSeconds / load.wallSeconds, 2)],
  ['failed open', (load) => String(load.failedOpen)],
  ['refused', (load) => String(load.refused)],
  ['late', (load) => String(load.late)],
  ['lost', (load) => String(load.lost)],
  ['lag p99 ms', ({ lagMs }) => number(lagMs.p99, 2)],
];

export function rawTable(runs: readonly RawMeasurement[]): string {
  return table([
    ['raw: options', 'batch', 'samples/s', 'CPU µs/sample', 'ms/run'],
    ...runs.map(({ request, samplesPerSecond, cpuPerSample, runMs }) => [
      request.sessions === undefined ? request.layout : `${request.layout}, one session`,
      String(request.batch),
      number(samplesPerSecond, 0),
      number(cpuPerSample * US_PER_SECOND, 0),
      number(runMs, 3),
    ]),
  ]);
}

export function loadTable(runs: readonly LoadMeasurement[]): string {
  const head = LOAD_COLUMNS.map(([name]) => name);
  return table([head, ...runs.map((run) => LOAD_COLUMNS.map(([, cell]) => cell(run)))]);
}

export function memoryTable(readings: readonly MemoryReading[]): string {
  const rows = readings.map(({ requests, bytes }) => [String(requests), number(bytes / BYTES_PER_MIB, 1)]);
  return table([['memory: requests', 'resident MiB'], ...rows]);
}

/** The requests that hold the event loop longest. */
export function loopTable(holds: readonly LoopHold[]): string {
  const rows = holds
    .toSorted((left, right) => right.ms - left.ms)
    .map(({ name, bytes, status, ms }) => [name, String(bytes), String(status), number(ms, 1)]);
  return table([['event loop: request', 'bytes', 'status', 'held ms'], ...rows]);
}

export function figureTable(figures: readonly Figure[]): string {
  return table([
    ['figure', 'value', 'goal', 'reached', 'what it is'],
    ...figures.map((figure) => [
      figure.name,
      figure.value === null ? NOTHING : number(figure.value, 3),
      `${figure.bound} ${figure.goal}`,
      REACHED.get(isReached(figure)) ?? 'not measured',
      figure.meaning,
    ]),
  ]);
}

/** The last line of the output: the figures for programs. */
export function jsonLine(figures: readonly Figure[]): string {
  return JSON.stringify(
    Object.fromEntries(figures.map(({ name, value }) => [name, value && rounded(value)])),
  );
}

function rounded(value: number): number {
  return Number(value.toFixed(JSON_DIGITS));
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
