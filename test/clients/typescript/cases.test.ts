/** Runs every case of test/client-cases.json with both entry points of the client. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import {
  InvalidInputError,
  ProbeClient as FetchClient,
  RefusedError,
  type ScoreOutcome,
} from '../../../clients/typescript/src/index.js';
import { ProbeClient as NodeClient } from '../../../clients/typescript/src/node.js';
import {
  callOptions,
  type CallExpectation,
  type CallStep,
  type ClientCase,
  feedbackItems,
  inCamelCase,
  readCases,
  scoreInput,
  type ServiceOptions,
} from '../../support/client-cases.js';
import { HostileServer } from '../../support/hostile-server.js';
import { startService } from '../../support/process.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const DEADLINE_MS = 10_000;
const CLIENTS = { fetch: FetchClient, node: NodeClient } as const;
type Client = InstanceType<(typeof CLIENTS)[keyof typeof CLIENTS]>;

const { bodies, cases } = await readCases();

for (const { name, ...rest } of cases.filter(({ server }) => server))
  for (const entry of Object.keys(CLIENTS) as (keyof typeof CLIENTS)[])
    test(`${entry}: ${name}`, async (t) => {
      const server = new HostileServer(bodies, rest.server ?? []);
      await server.start();
      t.after(() => server.stop());
      await runCase(t, entry, { name, ...rest }, server.origin, server);
    });

for (const options of new Set(cases.flatMap(({ service }) => (service ? [JSON.stringify(service)] : []))))
  test(`the real service with ${options}`, async (t) => {
    const origin = await startRealService(t, JSON.parse(options) as ServiceOptions);
    for (const one of cases.filter(({ service }) => JSON.stringify(service) === options))
      for (const entry of Object.keys(CLIENTS) as (keyof typeof CLIENTS)[])
        await t.test(`${entry}: ${one.name}`, (inner) => runCase(inner, entry, one, origin));
  });

async function startRealService(
  t: TestContext,
  { settings, api_keys: keys }: ServiceOptions,
): Promise<string> {
  if (!keys) return (await startService(t, { ...settings })).origin;
  const folder = await temporaryFolder(t);
  const file = path.join(folder, 'keys.json');
  const hashed = keys.map((key, index) => ({
    id: `key-${index}`,
    sha256: createHash('sha256').update(key).digest('hex'),
  }));
  await writeFile(file, JSON.stringify({ keys: hashed }));
  return (await startService(t, { ...settings, API_KEYS_FILE: file })).origin;
}

async function runCase(
  t: TestContext,
  entry: keyof typeof CLIENTS,
  { client: settings = {}, steps, expect = {} }: ClientCase,
  origin: string,
  server?: HostileServer,
): Promise<void> {
  const { path: prefix = '', ...options } = settings;
  const logged = t.mock.method(console, 'warn', () => {});
  const client = new CLIENTS[entry](origin + prefix, { deadlineMs: DEADLINE_MS, ...inCamelCase(options) });
  t.after(() => client.close());
  let last: ScoreOutcome | undefined;
  for (const step of steps) {
    if ('wait_ms' in step) await delay(step.wait_ms);
    else if ('server' in step) await changeServer(server ?? assert.fail('no hostile server'), step.server);
    else last = (await makeCalls(client, step, last)) ?? last;
  }
  const { requests, paths, failures, mistakes } = expect;
  const [least, most] = typeof requests === 'number' ? [requests, requests] : (requests ?? [0, Infinity]);
  const seen = server?.paths ?? [];
  assert.ok(seen.length >= least && seen.length <= most, `${seen.length} requests came`);
  if (paths) assert.deepEqual([...new Set(seen)], paths);
  if (failures) assert.deepEqual(Object.fromEntries(client.failures), failures);
  if (mistakes !== undefined) assert.equal(client.mistakes, mistakes);
  if (expect.logged !== undefined) assert.equal(logged.mock.callCount(), expect.logged);
}

async function changeServer(
  server: HostileServer,
  change: 'stop' | 'start' | Parameters<HostileServer['answerWith']>[0],
) {
  if (change === 'stop') await server.stop();
  else if (change === 'start') await server.start();
  else server.answerWith(change);
}

/** @returns the outcome of a score. */
async function makeCalls(
  client: Client,
  step: CallStep,
  last?: ScoreOutcome,
): Promise<ScoreOutcome | undefined> {
  const { times = 1, at_once: isAtOnce = false } = step;
  let outcomes: (ScoreOutcome | undefined)[] = [];
  if (isAtOnce)
    outcomes = await Promise.all(Array.from({ length: times }, () => makeCall(client, step, last)));
  else for (let index = 0; index < times; index += 1) outcomes.push(await makeCall(client, step, last));
  return outcomes.at(-1);
}

async function makeCall(
  client: Client,
  step: CallStep,
  last?: ScoreOutcome,
): Promise<ScoreOutcome | undefined> {
  const { call, expect } = step;
  const options = callOptions(step);
  const input = await scoreInput(step);
  const startedAt = performance.now();
  try {
    if (call === 'score') {
      const outcome = await client.score(input, options);
      checkOutcome(outcome, expect, input.attention.shape[0] ?? 0);
      return outcome;
    }
    const failedBefore = new Map(client.failures);
    if (call === 'feedback') checkFeedback(await client.feedback(feedbackItems(step, last), options), expect);
    else checkModels(await client.models(options), expect);
    if (expect.outcome === 'nothing') checkReason(failedBefore, client.failures, expect);
  } catch (error) {
    if (error instanceof assert.AssertionError || expect.outcome !== 'raised') throw error;
    checkRaised(error, expect);
  } finally {
    const took = performance.now() - startedAt;
    assert.ok(took <= (expect.within_ms ?? Infinity), `the call took ${took} ms`);
  }
  return undefined;
}

function checkOutcome(outcome: ScoreOutcome, expect: CallExpectation, samples: number): void {
  const reason = outcome.outcome === 'failed_open' ? outcome.reason : undefined;
  assert.equal(outcome.outcome, expect.outcome, `${reason}: ${JSON.stringify(outcome)}`);
  if (outcome.outcome === 'failed_open') {
    assert.ok([expect.reason ?? reason].flat().includes(outcome.reason), `the reason is ${outcome.reason}`);
    if (expect.code !== undefined) assert.equal(outcome.problem?.code, expect.code);
    if (expect.status !== undefined)
      assert.ok(outcome.error instanceof RefusedError && outcome.error.status === expect.status);
  }
  const { decisions } = outcome;
  assert.deepEqual([decisions.length, outcome.results.length], [samples, reason === undefined ? samples : 0]);
  const kinds = [...new Set(decisions)];
  if (expect.decisions === 'mixed') assert.equal(kinds.length, 2);
  else if (expect.decisions) assert.deepEqual(kinds, [expect.decisions]);
}

function checkFeedback(answer: Awaited<ReturnType<Client['feedback']>>, expect: CallExpectation): void {
  assert.equal(answer ? 'answered' : 'nothing', expect.outcome);
  if (expect.accepted !== undefined) assert.equal(answer?.accepted, expect.accepted);
  if (expect.refused !== undefined) assert.equal(answer?.refused.length, expect.refused);
}

function checkModels(answer: Awaited<ReturnType<Client['models']>>, expect: CallExpectation): void {
  assert.equal(answer ? 'answered' : 'nothing', expect.outcome);
  if (answer) assert.ok(answer.length > 0);
}

/** Feedback and models show the reason in the counts alone. */
function checkReason(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
  { reason }: CallExpectation,
): void {
  const grown = [...after].filter(([name, count]) => count > (before.get(name) ?? 0)).map(([name]) => name);
  assert.deepEqual(grown, [reason]);
}

function checkRaised(error: unknown, { reason, status, code }: CallExpectation): void {
  assert.ok(error instanceof (reason === 'invalid_input' ? InvalidInputError : RefusedError), String(error));
  if (!(error instanceof RefusedError)) return;
  if (status !== undefined) assert.equal(error.status, status);
  if (code !== undefined) assert.equal(error.problem?.code, code);
}
