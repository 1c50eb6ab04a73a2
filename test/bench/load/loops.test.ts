/** The two kinds of load, over real sockets: the number of open requests, and what is counted. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';

import { runClosedLoop, runOpenLoop } from '../../../bench/load/loops.js';
import { poissonArrivals } from '../../../bench/load/poisson.js';
import { prepareRequests } from '../../../bench/load/requests.js';
import type { Target } from '../../../bench/protocol.js';
import { httpServer } from '../../support/http-servers.js';
import { randomSamples, scoreBody } from '../../support/samples.js';

const EXAMPLE = scoreBody(randomSamples({ layers: 1, height: 2, width: 2 }, 2, 3), { model: 'tiny' });
const SCORED = '{"outcome":"scored"}';
const FAILED_OPEN = '{"outcome":"failed_open"}';

test('a closed loop has one open request per connection, and counts the outcomes', async (t) => {
  const waiting: ServerResponse[] = [];
  let most = 0;
  let served = 0;
  const kinds = [
    (answer: ServerResponse) => answer.end(SCORED),
    (answer: ServerResponse) => answer.end(FAILED_OPEN),
    (answer: ServerResponse) => answer.writeHead(503).end('{}'),
    (answer: ServerResponse) => answer.destroy(),
  ];
  const url = await httpServer(t, (request, response) => {
    request.resume().on('end', () => {
      most = Math.max(most, waiting.push(response));
      if (waiting.length < 3) return;
      for (const answer of waiting.splice(0)) {
        kinds[served % kinds.length]?.(answer);
        served += 1;
      }
    });
  });
  const target: Target = { kind: 'service', url };
  const result = await runClosedLoop(
    { kind: 'closed', target, load: 'single', connections: 3, until: { requests: 12 } },
    prepareRequests(EXAMPLE, 'single', target),
  );
  const { sent, useful, failedOpen, refused, lost, late, samples } = result;
  assert.deepEqual(
    { most, sent, useful, failedOpen, refused, lost, late, samples },
    { most: 3, sent: 12, useful: 3, failedOpen: 3, refused: 3, lost: 3, late: 0, samples: 3 },
  );
});

test('an open loop keeps its schedule while the server stalls, and the stall counts as latency', async (t) => {
  const order = { load: 'group', requestsPerSecond: 2000, seconds: 0.1, seed: 5 } as const;
  const due = poissonArrivals(order.requestsPerSecond, order.seconds, order.seed);
  const waiting: ServerResponse[] = [];
  const url = await httpServer(t, (request, response) => {
    request.resume().on('end', () => {
      if (waiting.push(response) === due.length) for (const answer of waiting) answer.end(SCORED);
    });
  });
  const target: Target = { kind: 'service', url };
  const result = await runOpenLoop(
    { kind: 'open', target, ...order },
    prepareRequests(EXAMPLE, order.load, target),
  );
  assert.equal(result.useful, due.length);
  assert.equal(result.samples, due.length * 8);
  // All were on their way at once, and none before it was due.
  assert.equal(result.connections, due.length);
  assert.ok(result.latencyMs.max >= (due.at(-1) ?? 0) - (due[0] ?? 0));
});

test('with a deadline, requests carry what is left of it, and answers after it are late', async (t) => {
  const budgets: number[] = [];
  const url = await httpServer(t, (request, response) => {
    budgets.push(Number(request.headers['x-deadline-ms']));
    request.resume().on('end', () => setTimeout(() => response.end(SCORED), 20));
  });
  const target: Target = { kind: 'service', url };
  const order = {
    kind: 'open',
    target,
    load: 'single',
    requestsPerSecond: 200,
    seconds: 0.1,
    seed: 2,
  } as const;
  const strict = await runOpenLoop({ ...order, deadlineMs: 10 }, prepareRequests(EXAMPLE, 'single', target));
  assert.ok(strict.sent > 0);
  assert.equal(strict.late, strict.sent);
  assert.ok(budgets.every((budget) => budget >= 0 && budget <= 10));

  const generous = await runOpenLoop(
    { ...order, deadlineMs: 60_000 },
    prepareRequests(EXAMPLE, 'single', target),
  );
  assert.equal(generous.useful, generous.sent);
});

test('requests beyond the maximum of open ones are not sent', async (t) => {
  const url = await httpServer(t, (request, response) => {
    request.resume().on('end', () => setTimeout(() => response.end(SCORED), 300));
  });
  const target: Target = { kind: 'service', url };
  const order = { load: 'single', requestsPerSecond: 2000, seconds: 0.1, seed: 3, maxOpen: 70 } as const;
  const next = prepareRequests(EXAMPLE, order.load, target);
  const result = await runOpenLoop({ kind: 'open', target, ...order }, next);
  assert.deepEqual([result.sent, result.useful, result.connections], [70, 70, 70]);
});
