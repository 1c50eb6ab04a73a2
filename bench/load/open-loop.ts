/**
 * Owns the open loop: requests go out when they are due, on another connection if all are busy, and their latency counts
 * from when they were due. So a server that stalls is charged for everybody who would have waited (no coordinated omission).
 */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { nowMs } from '../clock.js';
import { Connection } from './connection.js';
import { poissonArrivals } from './poisson.js';
import { type LoadResult, type OpenOrder, SAMPLES_PER_REQUEST } from './protocol.js';
import { type NextRequest, SCORED_MARK } from './requests.js';
import { Tally } from './tally.js';

const FIRST_CONNECTIONS = 64;
/** For the pacer's thread to start. */
const HEAD_START_MS = 200;
/** An answer that takes longer than this after the last sending is given up. */
const LAST_ANSWERS_MS = 20_000;
const POLL_MS = 5;

export async function runOpenLoop(order: OpenOrder, nextRequest: NextRequest): Promise<LoadResult> {
  const { target, load, requestsPerSecond, seconds, seed, deadlineMs } = order;
  const connect = (): Connection => new Connection(target.url, SCORED_MARK[target.kind]);
  const connections = Array.from({ length: FIRST_CONNECTIONS }, connect);
  await Promise.all(connections.map((connection) => connection.open()));
  const idle = [...connections];

  const startedAt = nowMs() + HEAD_START_MS;
  const due = Float64Array.from(
    poissonArrivals(requestsPerSecond, seconds, seed),
    (offset) => startedAt + offset,
  );
  const tally = new Tally({
    samplesPerRequest: SAMPLES_PER_REQUEST[load],
    startedAt,
    ...(deadlineMs !== undefined && { deadlineMs }),
  });

  const send = (dueAt: number): void => {
    const connection = idle.pop() ?? connections[connections.push(connect()) - 1];
    if (!connection) return;
    const lagMs = nowMs() - dueAt;
    tally.send(lagMs);
    connection.send(nextRequest(deadlineMs === undefined ? undefined : deadlineMs - lagMs), (answer) => {
      tally.receive(dueAt, answer);
      idle.push(connection);
    });
  };

  const pacer = new Worker(new URL('pacer.js', import.meta.url), { workerData: due });
  pacer.on('message', (count: number) => {
    while (tally.sent < count) send(due[tally.sent] ?? NaN);
  });
  await once(pacer, 'exit');
  const giveUpAt = nowMs() + LAST_ANSWERS_MS;
  while (idle.length < connections.length && nowMs() < giveUpAt) await delay(POLL_MS);
  for (const connection of connections) connection.close();
  return tally.result(connections.length, seconds);
}
