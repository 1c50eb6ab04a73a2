/** Owns a real Prometheus for the test: started on the shipped rules with short windows, asked through its API. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

const RULES = path.join('docker', 'prometheus', 'rules');
const POLL_MS = 250;
const START_TIMEOUT_MS = 60_000;

/** What stands for every window: longer than the test, so that nothing falls out of it. */
export const WINDOW = '10m';
export const WINDOW_SECONDS = 600;
const SCRAPE_SECONDS = 2;

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** One line of a graph. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  /** Unix time, s, and value. */
  readonly points: readonly (readonly [number, number])[];
}

/** Unix time, s. */
export interface TimeRange {
  readonly from: number;
  readonly to: number;
  readonly step: number;
}

export interface Rule {
  readonly name: string;
  readonly query: string;
  readonly type: 'alerting' | 'recording';
  readonly health: string;
  readonly lastError?: string;
  readonly state?: 'inactive' | 'pending' | 'firing';
  readonly labels?: Readonly<Record<string, string>>;
}

interface RuleGroup {
  readonly name: string;
  readonly lastEvaluation: string;
  readonly rules: readonly Rule[];
}

export interface Prometheus {
  /** @param at Unix time, s; now when left out. */
  query(expr: string, at?: number): Promise<Sample[]>;
  queryRange(expr: string, range: TimeRange): Promise<Series[]>;
  rules(): Promise<readonly RuleGroup[]>;
}

/**
 * Starts it; ended after the test.
 * @param targets host and port of each, by what the instance shall be called.
 */
export async function startPrometheus(
  t: TestContext,
  targets: Readonly<Record<string, string>>,
): Promise<Prometheus> {
  const folder = await mkdtemp(path.join(tmpdir(), 'prometheus-'));
  await writeConfig(folder, targets);
  const port = await freePort();
  const child = spawn(
    'prometheus',
    [
      `--config.file=${path.join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${path.join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  const failed = new Promise<never>((_resolve, reject) => {
    child.once('error', (cause) =>
      reject(new Error('Prometheus is missing: install Debian’s package `prometheus`', { cause })),
    );
    child.once('exit', (code) => reject(new Error(`Prometheus ended with ${code}`)));
  });
  failed.catch(() => {});
  t.after(async () => {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    if (child.kill('SIGTERM')) await ended;
    await rm(folder, { recursive: true, force: true });
  });
  const origin = `http://127.0.0.1:${port}`;
  await Promise.race([failed, until('Prometheus is ready', () => isReady(origin), START_TIMEOUT_MS)]);
  return {
    query: async (expr, at) => {
      const time = at === undefined ? '' : `&time=${at}`;
      const result = await ask<RawResult>(origin, `query?query=${encodeURIComponent(expr)}${time}`);
      return samplesOf(result, expr);
    },
    queryRange: async (expr, { from, to, step }) => {
      const call = `query_range?query=${encodeURIComponent(expr)}&start=${from}&end=${to}&step=${step}`;
      const { result } = await ask<{ result: RawSeries[] }>(origin, call);
      return result.map(({ metric, values }) => ({
        labels: metric,
        points: values.map(([at, value]) => [at, numberOf(value)] as const),
      }));
    },
    rules: async () => (await ask<{ groups: RuleGroup[] }>(origin, 'rules')).groups,
  };
}

/**
 * The shipped rules as they are, but for time: each window is WINDOW, each group is evaluated every second, and alerts
 * do not wait. The expressions are the shipped ones.
 */
function quickened(rules: string): string {
  return rules
    .replaceAll(/\[\d+[smhd]\]/g, `[${WINDOW}]`)
    .replaceAll(/^( +interval:) \S+$/gm, '$1 1s')
    .replaceAll(/^( +for:) \S+$/gm, '$1 0s');
}

async function writeConfig(folder: string, targets: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(path.join(folder, 'rules'));
  for (const file of await readdir(RULES)) {
    const text = await readFile(path.join(RULES, file), 'utf8');
    await writeFile(path.join(folder, 'rules', file), quickened(text));
  }
  const statics = Object.entries(targets).map(([instance, address]) => ({
    targets: [address],
    labels: { instance },
  }));
  const config = {
    global: { scrape_interval: `${SCRAPE_SECONDS}s`, scrape_timeout: `${SCRAPE_SECONDS}s` },
    rule_files: ['rules/*.yml'],
    scrape_configs: [{ job_name: 'diffusion-probe', static_configs: statics }],
  };
  // JSON is YAML.
  await writeFile(path.join(folder, 'prometheus.yml'), JSON.stringify(config));
}

/** Waits for a condition: polled, with a limit that only a real fault meets. */
export async function until(
  what: string,
  holds: () => Promise<boolean>,
  timeoutMs = START_TIMEOUT_MS,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await holds())) {
    assert.ok(performance.now() < end, `not in time: ${what}`);
    await delay(POLL_MS);
  }
}

async function isReady(origin: string): Promise<boolean> {
  try {
    return (await fetch(`${origin}/-/ready`)).ok;
  } catch {
    return false;
  }
}

interface RawResult {
  readonly resultType: string;
  readonly result: unknown;
}

interface RawSample {
  readonly metric: Record<string, string>;
  readonly value: [number, string];
}

interface RawSeries {
  readonly metric: Record<string, string>;
  readonly values: readonly [number, string][];
}

function samplesOf({ resultType, result }: RawResult, expr: string): Sample[] {
  if (resultType === 'scalar') return [{ labels: {}, value: numberOf((result as [number, string])[1]) }];
  assert.equal(resultType, 'vector', expr);
  return (result as RawSample[]).map(({ metric, value }) => ({ labels: metric, value: numberOf(value[1]) }));
}

function numberOf(text: string): number {
  return text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : Number(text);
}

async function ask<Data>(origin: string, call: string): Promise<Data> {
  const response = await fetch(`${origin}/api/v1/${call}`);
  const answer = (await response.json()) as { status: string; error?: string; data: Data };
  assert.equal(answer.status, 'success', `${decodeURIComponent(call)}: ${answer.error}`);
  return answer.data;
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
