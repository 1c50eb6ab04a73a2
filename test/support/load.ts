/** Load for tests: clients on real connections that send one request after the other and count every kind of answer. */
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { json } from 'node:stream/consumers';
import type { TestContext } from 'node:test';

import type { Scored } from '../../src/api/score-schemas.js';
import { TINY_SIZE } from './probe-folder.js';
import { expectedScore, randomSamples, scoreBody } from './samples.js';

const CLIENTS = 8;
const TOLERANCE = 1e-3;

const samples = randomSamples(TINY_SIZE, 3, 2);
const BODY = Buffer.from(scoreBody(samples));

export interface Answer {
  readonly status: number;
  readonly connection: string | undefined;
  readonly retryAfter: string | undefined;
  readonly body: Partial<Scored> & { readonly reason?: string; readonly code?: string };
}

export interface AskOptions {
  readonly agent?: Agent;
  readonly body?: Buffer;
  readonly deadlineMs?: number | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Sends one request; rejects when there is no answer. */
export async function ask(
  origin: string,
  { agent, body = BODY, deadlineMs, headers }: AskOptions = {},
): Promise<Answer> {
  const sent = request(`${origin}/score`, {
    method: 'POST',
    headers: {
      'content-type': 'application/octet-stream',
      'content-length': body.length,
      ...headers,
      ...(deadlineMs !== undefined && { 'x-deadline-ms': String(deadlineMs) }),
    },
    ...(agent && { agent }),
  });
  sent.end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const { connection, 'retry-after': retryAfter } = response.headers;
  return {
    status: response.statusCode ?? 0,
    connection,
    retryAfter,
    body: (await json(response)) as Answer['body'],
  };
}

/** How often each kind of answer came: `scored`, `failed_open unready`, `503 unready`, `lost ECONNRESET`, `wrong`. */
export type Tally = Readonly<Record<string, number>>;

export interface LoadOptions {
  /** When omitted, requests have no deadline, so that a failure is an error status. */
  readonly deadlineMs?: number;
  /** The bias of each version that may answer; version 1 with bias 0 when omitted. */
  readonly biases?: ReadonlyMap<number, number>;
  /** True when a client should stop; when omitted, clients send until `during` has settled. */
  readonly isLast?: (answer: Answer) => boolean;
}

/** Keeps clients sending until `during` has settled and the last answers have arrived. */
export async function underLoad(
  t: TestContext,
  origin: string,
  during: () => Promise<void>,
  { deadlineMs, biases = new Map([[1, 0]]), isLast = () => false }: LoadOptions = {},
): Promise<Tally> {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
  t.after(() => agent.destroy());
  const tally: Record<string, number> = {};
  const load = { isOver: false };
  const client = async (): Promise<void> => {
    while (!load.isOver) {
      const answer = await ask(origin, { agent, deadlineMs }).catch((error: unknown) => error as Error);
      const kind = answer instanceof Error ? `lost ${codeOf(answer)}` : kindOf(answer, biases);
      tally[kind] = (tally[kind] ?? 0) + 1;
      if (!(answer instanceof Error) && isLast(answer)) return;
    }
  };
  const clients = Array.from({ length: CLIENTS }, client);
  try {
    await during();
  } finally {
    load.isOver = true;
    await Promise.all(clients);
  }
  return tally;
}

function codeOf(error: NodeJS.ErrnoException): string {
  return error.code ?? error.message;
}

function kindOf({ status, body }: Answer, biases: ReadonlyMap<number, number>): string {
  if (status !== 200) return `${status} ${body.code}`;
  if (body.outcome !== 'scored') return `failed_open ${body.reason}`;
  const bias = biases.get(body.version ?? 0) ?? NaN;
  const isRight = samples.every((sample, index) => {
    const score = body.results?.[index]?.score ?? NaN;
    return Math.abs(score - expectedScore(sample, bias)) < TOLERANCE;
  });
  return isRight ? 'scored' : 'wrong';
}
