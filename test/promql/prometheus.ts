/** Owns a real Prometheus for tests: filled with scrapes of the past, the shipped rules loaded, asked over HTTP. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import * as z from 'zod';

const RULES_FILE = path.resolve('docker/prometheus/rules/decisions.yml');
const START_ATTEMPTS = 600;
const ATTEMPT_MS = 100;
const RECORDED_NAME = /\bdiffusion_probe:[a-z0-9_:]+/g;

const rulesSchema = z.object({
  data: z.object({
    groups: z.array(z.object({ rules: z.array(z.object({ name: z.string(), query: z.string() })) })),
  }),
});
const querySchema = z.object({
  data: z.object({
    result: z.array(
      z.object({ metric: z.record(z.string(), z.string()), value: z.tuple([z.number(), z.string()]) }),
    ),
  }),
});

/** One series of an answer. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Prometheus {
  /** What a recording rule gives at a moment, Unix time in s. */
  recorded(name: string, time: number): Promise<Sample[]>;
}

/** @throws {Error} when the programs are not there. */
export function requirePrometheus(): void {
  for (const program of ['prometheus', 'promtool']) {
    if (spawnSync(program, ['--version']).error === undefined) continue;
    throw new Error(
      `${program} is missing: these tests need a real Prometheus on the PATH (on Debian: apt-get install prometheus)`,
    );
  }
}

/** @param scrapes in OpenMetrics text without its last line, oldest first. */
export async function startPrometheus(t: TestContext, scrapes: readonly string[]): Promise<Prometheus> {
  const folder = await mkdtemp(path.join(tmpdir(), 'prometheus-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const data = path.join(folder, 'data');
  const history = path.join(folder, 'history.txt');
  const config = path.join(folder, 'prometheus.yml');
  await writeFile(history, `${scrapes.join('')}# EOF\n`);
  await writeFile(config, JSON.stringify({ rule_files: [RULES_FILE] }));
  const promtool = promisify(execFile);
  await promtool('promtool', ['check', 'rules', RULES_FILE]);
  await promtool('promtool', ['tsdb', 'create-blocks-from', 'openmetrics', '--quiet', history, data]);
  const origin = await serve(t, config, data);
  const expressions = await loadedRules(origin);
  return { recorded: (name, time) => query(origin, expanded(name, expressions), time) };
}

async function serve(t: TestContext, config: string, data: string): Promise<string> {
  const address = `127.0.0.1:${await freePort()}`;
  const child = spawn(
    'prometheus',
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${data}`,
      '--storage.tsdb.retention.time=100y',
      `--web.listen-address=${address}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  child.stderr.on('data', (text: Buffer) => (log += text.toString()));
  const exit = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGTERM');
    await exit;
  });
  for (let attempt = 0; attempt < START_ATTEMPTS && child.exitCode === null; attempt += 1) {
    const ready = await fetch(`http://${address}/-/ready`).catch(() => undefined);
    if (ready?.ok) return `http://${address}`;
    await delay(ATTEMPT_MS);
  }
  throw new Error(`Prometheus did not start:\n${log}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}

/** The expressions of the rules by the names that they record, as Prometheus itself has read them. */
async function loadedRules(origin: string): Promise<ReadonlyMap<string, string>> {
  const { data } = rulesSchema.parse(await answer(`${origin}/api/v1/rules`));
  return new Map(data.groups.flatMap(({ rules }) => rules.map(({ name, query: text }) => [name, text])));
}

/** A rule's expression in which recorded series are replaced by what records them: it then holds for any moment. */
function expanded(name: string, expressions: ReadonlyMap<string, string>): string {
  const expression = expressions.get(name);
  if (expression === undefined) throw new Error(`no rule records ${name}`);
  return expression.replaceAll(RECORDED_NAME, (inner) => `(${expanded(inner, expressions)})`);
}

async function query(origin: string, expression: string, time: number): Promise<Sample[]> {
  const body = new URLSearchParams({ query: expression, time: String(time) });
  const { data } = querySchema.parse(await answer(`${origin}/api/v1/query`, { method: 'POST', body }));
  return data.result.map(({ metric, value: [, value] }) => ({ labels: metric, value: Number(value) }));
}

async function answer(url: string, init?: RequestInit): Promise<unknown> {
  const response = await fetch(url, init);
  const text = await response.text();
  if (!response.ok) throw new Error(`${url}: ${text}`);
  return JSON.parse(text);
}
