/**
 * Restarts two replicas behind a real nginx in turn, under steady load. Every request must be answered with scores, and every
 * receipt must be accepted.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { ProbeClient, type SampleResult, type ScoreInput } from '../../clients/typescript/src/node.js';
import { readExample } from '../support/examples.js';
import { startService } from '../support/process.js';
import { freePort, startProgram, until } from './program.js';
import { writeFeedbackKeys } from './service.js';

const PAUSE_MS = 40;
const SENDERS = 2;
/** Long, because this test is about missing answers and not about late ones. */
const DEADLINE_MS = 30_000;
const RECEIPTS_PER_CALL = 500;

test('two replicas behind nginx are restarted in turn under load', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'rolling-'));
  const keys = await writeFeedbackKeys(folder);
  const ports = [await freePort(), await freePort()];
  const startReplica = (port: number) =>
    startService(t, { PORT: String(port), FEEDBACK_KEYS_FILE: keys, DRAIN_DELAY_MS: '1000' });
  const replicas = await Promise.all(ports.map(startReplica));
  const client = new ProbeClient(await startNginx(t, folder, ports), { deadlineMs: DEADLINE_MS });
  t.after(() => client.close());
  t.after(() => rm(folder, { recursive: true, force: true }));

  const load = startLoad(client, await readExample('kept'));
  t.after(load.stop);
  const untilScored = (count: number, when: string): Promise<void> => {
    const before = load.results.length;
    return until(`${count} more requests are scored ${when}`, () => load.results.length >= before + count);
  };
  await untilScored(20, 'before any restart');
  for (const [index, replica] of replicas.entries()) {
    await replica.stop();
    assert.equal(replica.child.exitCode, 0);
    await untilScored(20, 'while a replica is stopped');
    await startReplica(ports[index] ?? NaN);
    await untilScored(20, 'after its restart');
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
  const waits = load.waits.toSorted((left, right) => left - right);
  t.diagnostic(
    `${waits.length} requests, none failed, ${kept.length} receipts accepted; ` +
      `median ${waits[Math.floor(waits.length / 2)]?.toFixed(0)} ms, slowest ${waits.at(-1)?.toFixed(0)} ms`,
  );
});

/** Sends one sample after another until it is stopped. */
function startLoad(client: ProbeClient, input: ScoreInput) {
  const results: SampleResult[] = [];
  const failures: string[] = [];
  /** Time to each answer, in ms. */
  const waits: number[] = [];
  let sent = 0;
  const stopped = new AbortController();
  const send = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      sent += 1;
      const startedAt = performance.now();
      const answer = await client.score(input, { sampleIds: [`sample ${sent}`] });
      waits.push(performance.now() - startedAt);
      if (answer.outcome === 'scored') results.push(...answer.results);
      else failures.push(`${answer.reason}: ${answer.error?.message ?? ''}`);
      await delay(PAUSE_MS);
    }
  };
  const senders = Array.from({ length: SENDERS }, send);
  const stop = async (): Promise<void> => {
    stopped.abort();
    await Promise.all(senders);
  };
  return { results, failures, waits, stop };
}

/** Starts nginx in front of the ports and returns its origin. */
async function startNginx(t: TestContext, folder: string, ports: readonly number[]): Promise<string> {
  const port = await freePort();
  const template = await readFile(path.join('docker', 'nginx', 'nginx.conf'), 'utf8');
  const servers = ports.map((replica) => `server 127.0.0.1:${replica} max_fails=0;`).join('\n    ');
  const config = path.join(folder, 'nginx.conf');
  await writeFile(
    config,
    template
      .replaceAll(/^ +server probe-\d:8080 .*$\n?/gm, '')
      .replace('upstream diffusion_probe {', `upstream diffusion_probe {\n    ${servers}`)
      .replace('listen 8080', `listen 127.0.0.1:${port}`)
      .replaceAll('/tmp/nginx', folder),
  );
  const origin = `http://127.0.0.1:${port}`;
  const command = ['nginx', '-e', path.join(folder, 'error.log'), '-c', config, '-g', 'daemon off;'] as const;
  await startProgram(t, command, `${origin}/livez`, 'nginx-light');
  return origin;
}
