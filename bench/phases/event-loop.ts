/** Measures how long one request, driven to the limits of its route, holds the service's event loop. */
import { setTimeout as delay } from 'node:timers/promises';

import type { BenchContext } from '../measure.js';
import { type Server, startService } from '../processes/server.js';
import { bodyOf, type Sample } from '../samples.js';
import { makeExample } from '../scaling/measure.js';
import { servingModel } from '../start.js';
import { median } from '../statistics.js';

const MONITOR = new URL('../processes/loop-monitor.js', import.meta.url);
const MIB = 1_048_576;
const TOO_LARGE = 413;
const MAX_SAMPLES = 64;
const MAX_FEEDBACK = 1000;
/** Of one member of an object, one number in a list, and one item of feedback, as they are written here. */
const MEMBER_BYTES = 15;
const NUMBER_BYTES = 7;
const ITEM_BYTES = 4096;
const PAUSE_MS = 100;

interface LimitRequest {
  readonly route: string;
  /** What the body has most of. */
  readonly most: string;
  /** The limit of the body's size. */
  readonly bytes: number;
  /** Makes a body that is at most this large; a GET when omitted. A text is sent as JSON. */
  readonly body?: (bytes: number) => Uint8Array | string;
}

export interface LoopHold {
  readonly name: string;
  readonly bytes: number;
  readonly status: number;
  /** The longest time that the loop was held during the request; the median of the turns. */
  readonly ms: number;
}

export async function measureLoopHolds(
  context: BenchContext,
  samples: readonly Sample[],
): Promise<LoopHold[]> {
  const { environment, cleanup, plan, onProgress } = context;
  const server = await cleanup.keep(startService(environment, ['--import', MONITOR.href]));
  const holds: LoopHold[] = [];
  for (const request of await limitRequests(server, samples)) {
    onProgress(`event loop: ${request.route} ${request.most}`);
    holds.push(await measureHold(server, request, plan.rounds));
  }
  await server.stop();
  return holds;
}

async function measureHold(server: Server, request: LimitRequest, turns: number): Promise<LoopHold> {
  const { route, most, bytes } = request;
  const body = request.body?.(bytes);
  const { status } = await send(server, route, body);
  // The service may have a lower limit than is assumed here.
  if (status === TOO_LARGE) return measureHold(server, { ...request, bytes: bytes / 2 }, turns);
  const holds: number[] = [];
  for (let turn = 0; turn < turns; turn += 1) {
    await delay(PAUSE_MS);
    await server.ask('reset');
    await (await send(server, route, body)).arrayBuffer();
    await delay(PAUSE_MS);
    holds.push(Number(await server.ask('read')));
  }
  return { name: `${route} ${most}`, bytes: body?.length ?? 0, status, ms: median(holds) };
}

function send(server: Server, route: string, body?: Uint8Array | string): Promise<Response> {
  const type = typeof body === 'string' ? 'application/json' : 'application/octet-stream';
  const init = body === undefined ? {} : { method: 'POST', headers: { 'content-type': type }, body };
  return fetch(new URL(route, server.url), init);
}

/** Each route with the requests that cost it most: the largest, and those with the most parts. */
async function limitRequests(server: Server, samples: readonly Sample[]): Promise<LimitRequest[]> {
  const { name: model, contract } = await servingModel(server.url);
  const { capture, capture_id, decision_points: points } = contract;
  const values = capture.layers.length * capture.height * capture.width;
  const tokens = (bytes: number): Uint8Array =>
    makeExample(
      { ...contract, name: model },
      Math.floor((bytes - MIB) / values / 2 / MAX_SAMPLES),
      MAX_SAMPLES,
    );
  const metadata = { model, capture_id, policy: `{${members(MIB / 20)}}` };
  const lists = (bytes: number): string => {
    const count = Math.floor(bytes / values / NUMBER_BYTES);
    const map = list(capture.height, list(capture.width, 0.001));
    const attention = [list(capture.layers.length, list(count, map))];
    const tensors = { attention, token_mask: [list(count, 1)], timestep: [points[0]?.timestep] };
    return JSON.stringify({ model, capture_id, tensors });
  };
  const answer = await send(server, '/score', bodyOf(samples));
  const { results } = (await answer.json()) as { results: { receipt: string }[] };
  const receipts = Array.from({ length: MAX_FEEDBACK }, (_, index) => {
    return { receipt: results[index % results.length]?.receipt, quality: 0.5 };
  });
  const item = `{"receipt":"x","quality":0.5,${members(ITEM_BYTES)}}`;
  const score = { route: '/score', bytes: 64 * MIB };
  const scoreJson = { route: '/score', bytes: 2 * MIB };
  const feedback = { route: '/feedback', bytes: 4 * MIB };
  return [
    { ...score, most: 'tokens', body: tokens },
    { ...score, most: 'metadata', body: () => bodyOf(samples.map((sample) => ({ ...sample, metadata }))) },
    { ...scoreJson, most: 'members', body: (bytes) => `{${members(bytes)}}` },
    { ...scoreJson, most: 'numbers', body: lists },
    { ...scoreJson, most: 'brackets', body: (bytes) => '['.repeat(bytes / 2) + ']'.repeat(bytes / 2) },
    {
      ...feedback,
      most: 'members',
      body: (bytes) => `{"feedback":[${list(bytes / ITEM_BYTES - 8, item).join()}]}`,
    },
    { ...feedback, most: 'receipts', body: () => JSON.stringify({ feedback: receipts }) },
    {
      ...feedback,
      most: 'text',
      body: (bytes) => `{"feedback":["${'x'.repeat(bytes - 2 * MEMBER_BYTES)}"]}`,
    },
    { route: '/models/reload', most: '', bytes: 0, body: () => '' },
    ...['/models', '/metrics', '/openapi.json', '/docs'].map((route) => ({ route, most: '', bytes: 0 })),
  ];
}

function list<Item>(length: number, item: Item): Item[] {
  return Array.from({ length }, () => item);
}

function members(bytes: number): string {
  const member = (_: unknown, index: number): string => `"m${String(index).padStart(9, '0')}":0`;
  return Array.from({ length: Math.floor(bytes / MEMBER_BYTES) - 1 }, member).join(',');
}
