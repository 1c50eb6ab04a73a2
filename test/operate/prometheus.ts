/**
 * Starts a real Prometheus on the shipped rules and queries it over HTTP: a live one that scrapes running services, or one
 * that is filled with scrapes of the past.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';

import { freePort, startProgram } from './program.js';

const RULES = path.resolve('docker/prometheus/rules');

/** Replaces every window of the rules and dashboards. It is longer than a test, so that no sample leaves it. */
export const WINDOW = '10m';
export const WINDOW_SECONDS = 600;

type Labels = Readonly<Record<string, string>>;
/** Unix time in s, and the text of a value. */
type RawPoint = readonly [number, string];

/** One series of a result at one moment. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** One series of a result over a time range. */
export interface Series {
  readonly labels: Labels;
  /** Unix time in s, and value. */
  readonly points: readonly (readonly [number, number])[];
}

/** Unix times and the distance of two points, all in s. */
export interface TimeRange {
  readonly from: number;
  readonly to: number;
  readonly step: number;
}

/** As the API of Prometheus describes it. */
export interface Rule {
  readonly name: string;
  readonly query: string;
  readonly type: 'alerting' | 'recording';
  readonly health: string;
  readonly lastError?: string;
  readonly lastEvaluation: string;
  readonly state?: 'inactive' | 'pending' | 'firing';
}

export class Prometheus {
  readonly #origin: string;

  constructor(origin: string) {
    this.#origin = origin;
  }

  /** @param at Unix time in s; now when omitted. */
  async query(query: string, at?: number): Promise<Sample[]> {
    const parameters = { query, ...(at !== undefined && { time: String(at) }) };
    type Result =
      | { resultType: 'scalar'; result: RawPoint }
      | { resultType: 'vector'; result: { metric: Labels; value: RawPoint }[] };
    const { resultType, result } = await this.#get<Result>('query', parameters);
    if (resultType === 'scalar') return [{ labels: {}, value: parseValue(result[1]) }];
    return result.map(({ metric, value }) => ({ labels: metric, value: parseValue(value[1]) }));
  }

  async queryRange(query: string, { from, to, step }: TimeRange): Promise<Series[]> {
    const parameters = { query, start: String(from), end: String(to), step: String(step) };
    type Result = { result: { metric: Labels; values: RawPoint[] }[] };
    const { result } = await this.#get<Result>('query_range', parameters);
    return result.map(({ metric, values }) => ({
      labels: metric,
      points: values.map(([at, value]) => [at, parseValue(value)] as const),
    }));
  }

  async rules(): Promise<Rule[]> {
    const { groups } = await this.#get<{ groups: readonly { rules: readonly Rule[] }[] }>('rules', {});
    return groups.flatMap(({ rules }) => rules);
  }

  async #get<Data>(call: string, parameters: Record<string, string>): Promise<Data> {
    const url = `${this.#origin}/api/v1/${call}?${new URLSearchParams(parameters).toString()}`;
    const response = await fetch(url);
    const answer = (await response.json()) as { status: string; error?: string; data: Data };
    assert.equal(answer.status, 'success', `${parameters['query'] ?? call}: ${answer.error}`);
    return answer.data;
  }
}

/**
 * Starts a Prometheus that scrapes services every second. The shipped rules are the same except for time: each window is
 * WINDOW, each group is evaluated every second, and alerts do not wait.
 * @param targets host and port of each service, by its `instance` label.
 */
export async function startScrapingPrometheus(
  t: TestContext,
  targets: Readonly<Record<string, string>>,
): Promise<Prometheus> {
  const folder = await mkdtemp(path.join(tmpdir(), 'prometheus-'));
  await mkdir(path.join(folder, 'rules'));
  for (const file of await readdir(RULES)) {
    const text = (await readFile(path.join(RULES, file), 'utf8'))
      .replaceAll(/\[\d+[smhd]\]/g, `[${WINDOW}]`)
      .replaceAll(/^( +interval:) \S+$/gm, '$1 1s')
      .replaceAll(/^( +for:) \S+$/gm, '$1 0s');
    await writeFile(path.join(folder, 'rules', file), text);
  }
  const services = Object.entries(targets).map(([instance, address]) => ({
    targets: [address],
    labels: { instance },
  }));
  return serve(t, folder, {
    global: { scrape_interval: '1s', scrape_timeout: '1s' },
    rule_files: ['rules/*.yml'],
    scrape_configs: [{ job_name: 'diffusion-probe', static_configs: services }],
  });
}

/**
 * Starts a Prometheus that holds past scrapes and knows the recording rules of decisions.yml.
 * @param scrapes in OpenMetrics text without the last line `# EOF`, oldest first.
 */
export async function startFilledPrometheus(t: TestContext, scrapes: readonly string[]): Promise<Prometheus> {
  const folder = await mkdtemp(path.join(tmpdir(), 'prometheus-'));
  const history = path.join(folder, 'history.txt');
  await writeFile(history, `${scrapes.join('')}# EOF\n`);
  const parameters = [
    'tsdb',
    'create-blocks-from',
    'openmetrics',
    '--quiet',
    history,
    path.join(folder, 'data'),
  ];
  await promisify(execFile)('promtool', parameters);
  return serve(t, folder, { rule_files: [path.join(RULES, 'decisions.yml')] });
}

async function serve(t: TestContext, folder: string, config: object): Promise<Prometheus> {
  const file = path.join(folder, 'prometheus.yml');
  // JSON is valid YAML.
  await writeFile(file, JSON.stringify(config));
  const address = `127.0.0.1:${await freePort()}`;
  const command = [
    'prometheus',
    `--config.file=${file}`,
    `--storage.tsdb.path=${path.join(folder, 'data')}`,
    '--storage.tsdb.retention.time=100y',
    `--web.listen-address=${address}`,
    '--log.level=warn',
  ] as const;
  const started = startProgram(t, command, `http://${address}/-/ready`, 'prometheus');
  // Registered second, because hooks run in the order of their registration and Prometheus must end first.
  t.after(() => rm(folder, { recursive: true, force: true }));
  await started;
  return new Prometheus(`http://${address}`);
}

function parseValue(text: string): number {
  return text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : Number(text);
}
