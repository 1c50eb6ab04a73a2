/**
 * The two kinds of load. In the closed loop a connection sends a request when it has the answer to the one before. In the open
 * loop requests are sent when they are due, on a new connection when all are busy, and their latency counts from the due time:
 * a server that stalls is charged for every request that had to wait (no coordinated omission).
 */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { nowMs } from '../machine.js';
import { type ClosedLoop, type LoadResult, type OpenLoop, SAMPLES_PER_REQUEST } from '../protocol.js';
import { Connection } from './connection.js';
import { poissonArrivals } from './poisson.js';
import { type NextRequest, SCORED_MARK } from './requests.js';
import { Tally } from './tally.js';

/** How long to wait for answers after the last request. */
const LAST_ANSWERS_MS = 20_000;
const FIRST_CONNECTIONS = 64;
/** Time for the pacer's thread to start. */
const HEAD_START_MS = 200;
const POLL_MS = 5;

export async function runClosedLoop(loop: ClosedLoop, nextRequest: NextRequest): Promise<LoadResult> {
  const connections = Array.from(
    { length: loop.connections },
    () => new Connection(loop.target.url, SCORED_MARK[loop.target.kind], loop.localAddress),
  );
  await Promise.all(connections.map((connection) => connection.open()));
  const startedAt = nowMs();
  const tally = new Tally({ samplesPerRequest: SAMPLES_PER_REQUEST[loop.load], startedAt });
  const isOver = endOf(loop, startedAt, tally);

  const sendAll = (connection: Connection): Promise<void> =>
    new Promise((resolve) => {
      const sendNext = (): void => {
        if (isOver()) return resolve();
        const since = nowMs();
        tally.send();
        connection.send(nextRequest(), (answer) => {
          tally.receive(since, answer);
          sendNext();
        });
      };
      sendNext();
    });

  const loops = Promise.all(connections.map(sendAll));
  await Promise.race([loops, giveUp(loop, loops)]);
  for (const connection of connections) connection.close();
  return tally.result(connections.length);
}

function endOf({ until }: ClosedLoop, startedAt: number, tally: Tally): () => boolean {
  if ('requests' in until) return () => tally.sent >= until.requests;
  const endAt = startedAt + until.seconds * 1000;
  return () => nowMs() >= endAt;
}

/** A loop for a time ends some time after it; a loop for a number of requests waits for all answers. */
async function giveUp({ until }: ClosedLoop, loops: Promise<unknown>): Promise<void> {
  if ('requests' in until) await loops;
  else await delay(until.seconds * 1000 + LAST_ANSWERS_MS, undefined, { ref: false });
}

export async function runOpenLoop(loop: OpenLoop, nextRequest: NextRequest): Promise<LoadResult> {
  const {
    target,
    load,
    requestsPerSecond,
    seconds,
    seed,
    deadlineMs,
    localAddress,
    maxOpen = Infinity,
  } = loop;
  const connect = (): Connection => new Connection(target.url, SCORED_MARK[target.kind], localAddress);
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
    if (idle.length === 0 && connections.length < maxOpen)
      idle.push(connections[connections.push(connect()) - 1]!);
    const connection = idle.pop();
    if (!connection) return;
    const lagMs = nowMs() - dueAt;
    tally.send(lagMs);
    connection.send(nextRequest(deadlineMs === undefined ? undefined : deadlineMs - lagMs), (answer) => {
      tally.receive(dueAt, answer);
      idle.push(connection);
    });
  };

  const pacer = new Worker(new URL('pacer.js', import.meta.url), { workerData: due });
  let handled = 0;
  pacer.on('message', (count: number) => {
    for (; handled < count; handled += 1) send(due[handled] ?? NaN);
  });
  await once(pacer, 'exit');
  const giveUpAt = nowMs() + LAST_ANSWERS_MS;
  while (idle.length < connections.length && nowMs() < giveUpAt) await delay(POLL_MS);
  for (const connection of connections) connection.close();
  return tally.result(connections.length, seconds);
}
