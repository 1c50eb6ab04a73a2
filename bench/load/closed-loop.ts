/** Owns the closed loop: as many requests on their way as there are connections, each sent when its predecessor is answered. */
import { setTimeout as delay } from 'node:timers/promises';

import { nowMs } from '../clock.js';
import { Connection } from './connection.js';
import { type ClosedOrder, type LoadResult, SAMPLES_PER_REQUEST } from './protocol.js';
import { type NextRequest, SCORED_MARK } from './requests.js';
import { Tally } from './tally.js';

/** An answer that takes longer than this after the end is given up. */
const LAST_ANSWERS_MS = 20_000;

export async function runClosedLoop(order: ClosedOrder, nextRequest: NextRequest): Promise<LoadResult> {
  const connections = Array.from(
    { length: order.connections },
    () => new Connection(order.target.url, SCORED_MARK[order.target.kind]),
  );
  await Promise.all(connections.map((connection) => connection.open()));
  const startedAt = nowMs();
  const tally = new Tally({ samplesPerRequest: SAMPLES_PER_REQUEST[order.load], startedAt });
  const isOver = endOf(order, startedAt, tally);

  const keepAsking = (connection: Connection): Promise<void> =>
    new Promise((resolve) => {
      const ask = (): void => {
        if (isOver()) return resolve();
        const since = nowMs();
        tally.send();
        connection.send(nextRequest(), (answer) => {
          tally.receive(since, answer);
          ask();
        });
      };
      ask();
    });

  const loops = Promise.all(connections.map(keepAsking));
  await Promise.race([loops, giveUp(order, loops)]);
  for (const connection of connections) connection.close();
  return tally.result(connections.length);
}

function endOf({ until }: ClosedOrder, startedAt: number, tally: Tally): () => boolean {
  if ('requests' in until) return () => tally.sent >= until.requests;
  const endAt = startedAt + until.seconds * 1000;
  return () => nowMs() >= endAt;
}

/** A number of requests takes as long as it takes; a time ends. */
async function giveUp({ until }: ClosedOrder, loops: Promise<unknown>): Promise<void> {
  if ('requests' in until) await loops;
  else await delay(until.seconds * 1000 + LAST_ANSWERS_MS, undefined, { ref: false });
}
