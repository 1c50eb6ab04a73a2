/**
 * Owns the proof that a rolling restart costs nothing: two replicas behind a real nginx under steady load, each restarted
 * in turn. Every request is answered with scores, and every receipt counts, whoever signed it. `npm run test:rolling`
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { ProbeClient, type SampleResult } from '../../clients/typescript/src/index.js';
import { decodeSafetensors } from '../../src/wire/safetensors.js';
import { startService } from '../support/process.js';
import { freePort, until } from './prometheus.js';

const PAUSE_MS = 40;
const SENDERS = 2;
/** No answer is late because this machine is: what is asked here is whether there is one. */
const DEADLINE_MS = 30_000;
const RECEIPTS_PER_CALL = 500;

test('two replicas behind nginx are restarted in turn under load', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'rolling-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const keys = path.join(folder, 'keys.json');
  await writeFile(
    keys,
    JSON.stringify({ keys: [{ id: 'a', secret: Buffer.alloc(32, 7).toString('base64') }] }),
  );
  const ports = [await freePort(), await freePort()];
  const startReplica = (port: number) =>
    startService(t, { PORT: String(port), FEEDBACK_KEYS_FILE: keys, DRAIN_DELAY_MS: '1000' });
  const replicas = await Promise.all(ports.map(startReplica));
  const client = new ProbeClient(await startNginx(t, folder, ports), { deadlineMs: DEADLINE_MS });
  t.after(() => client.close());

  const load = await startLoad(client);
  await until('the load flows', async () => load.results.length >= 20);
  for (const [index, replica] of replicas.entries()) {
    await replica.stop();
    assert.equal(replica.child.exitCode, 0);
    const whileGone = load.results.length;
    await until(
      'requests go on beside a replica that is gone',
      async () => load.results.length >= whileGone + 20,
    );
    await startReplica(ports[index] ?? NaN);
    const afterwards = load.results.length;
    await until('requests go on after it', async () => load.results.length >= afterwards + 20);
  }
  await load.stop();

  assert.deepEqual(load.failures, []);
  const kept = load.results.filter(({ decision }) => decision === 'keep');
  assert.ok(kept.length > 0);
  for (let first = 0; first < kept.length; first += RECEIPTS_PER_CALL) {
    const items = kept
      .slice(first, first + RECEIPTS_PER_CALL)
      .map(({ receipt = '' }) => ({ receipt, quality: 0.7 }));
    assert.deepEqual(await client.feedback(items), { accepted: items.length, refused: [] });
  }
  const sorted = load.waits.toSorted((left, right) => left - right);
  const figures = {
    requests: load.waits.length,
    failed: load.failures.length,
    receipts: kept.length,
    median_ms: Number(sorted[Math.floor(sorted.length / 2)]?.toFixed(1)),
    slowest_ms: Number(sorted.at(-1)?.toFixed(1)),
  };
  process.stdout.write(`${JSON.stringify(figures)}\n`);
});

interface Load {
  readonly results: SampleResult[];
  readonly failures: string[];
  /** How long each answer took, ms. */
  readonly waits: number[];
  readonly stop: () => Promise<void>;
}

/** Sends one sample after the other until it is stopped. */
async function startLoad(client: ProbeClient): Promise<Load> {
  const bytes = await readFile('examples/kept.safetensors');
  const { tensors, bytes: memory } = decodeSafetensors(
    bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
  );
  const slice = (name: string) => tensors.get(name) ?? assert.fail(name);
  const attention = slice('attention');
  const mask = slice('token_mask');
  const input = {
    attention: {
      dtype: attention.dtype,
      shape: attention.shape,
      data: new Uint8Array(memory, attention.byteOffset, attention.byteLength),
    },
    tokenMask: new Uint8Array(memory, mask.byteOffset, mask.byteLength),
    timestep: new DataView(memory).getFloat32(slice('timestep').byteOffset, true),
  };
  const results: SampleResult[] = [];
  const failures: string[] = [];
  const waits: number[] = [];
  const over = new AbortController();
  let number = 0;
  const send = async (): Promise<void> => {
    while (!over.signal.aborted) {
      number += 1;
      const startedAt = performance.now();
      const answer = await client.score(input, { sampleIds: [`sample ${number}`] });
      waits.push(performance.now() - startedAt);
      if (answer.outcome === 'scored') results.push(...answer.results);
      else failures.push(`${answer.reason}: ${answer.error?.message ?? ''}`);
      await delay(PAUSE_MS);
    }
  };
  const senders = Array.from({ length: SENDERS }, send);
  return {
    results,
    failures,
    waits,
    stop: async () => {
      over.abort();
      await Promise.all(senders);
    },
  };
}

/** Starts nginx in front of the ports; its origin. */
async function startNginx(t: TestContext, folder: string, ports: readonly number[]): Promise<string> {
  const port = await freePort();
  const template = await readFile(path.join('docker', 'nginx', 'nginx.conf'), 'utf8');
  const servers = ports.map((own) => `server 127.0.0.1:${own} max_fails=0;`).join('\n    ');
  const config = path.join(folder, 'nginx.conf');
  await writeFile(
    config,
    template
      .replaceAll(/^ +server probe-\d:8080 .*$\n?/gm, '')
      .replace('upstream diffusion_probe {', `upstream diffusion_probe {\n    ${servers}`)
      .replace('listen 8080', `listen 127.0.0.1:${port}`)
      .replaceAll('/tmp/nginx', folder),
  );
  const child = spawn('nginx', ['-e', path.join(folder, 'error.log'), '-c', config, '-g', 'daemon off;'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const failed = new Promise<never>((_resolve, reject) => {
    child.once('error', (cause) =>
      reject(new Error('nginx is missing: install Debian’s package `nginx-light`', { cause })),
    );
    child.once('exit', (code) => reject(new Error(`nginx ended with ${code}`)));
  });
  failed.catch(() => {});
  t.after(async () => {
    const ended = once(child, 'exit');
    if (child.kill('SIGTERM')) await ended;
  });
  const origin = `http://127.0.0.1:${port}`;
  const answers = (): Promise<boolean> =>
    fetch(`${origin}/livez`).then(
      ({ ok }) => ok,
      () => false,
    );
  await Promise.race([failed, until('nginx answers', answers)]);
  return origin;
}
