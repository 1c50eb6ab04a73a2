/** Traces of the real process arrive at an OTLP receiver and continue the caller's trace. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';

import { isTracingEnabled } from '../../src/telemetry/tracing.js';
import { TINY_SIZE, writeProbe } from '../support/probe-folder.js';
import { PRIVATE } from '../support/private-text.js';
import { randomSamples, scoreBody } from '../support/samples.js';
import { startService } from '../support/process.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const CALLER = '00f067aa0ba902b7';

interface Attribute {
  readonly key: string;
  readonly value: { stringValue?: string; intValue?: number };
}

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly status: { code: number };
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
}

const RUN_ATTRIBUTES = ['model', 'version', 'provider', 'batch_size', 'padded_tokens'];

interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { spans: readonly Span[] }[];
  }[];
}

interface Receiver {
  readonly endpoint: string;
  readonly exports: Export[];
  readonly headers: (string | undefined)[];
}

async function startReceiver(t: TestContext): Promise<Receiver> {
  const exports: Export[] = [];
  const headers: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    const answer = async (): Promise<void> => {
      const body = await json(request);
      if (request.method === 'POST' && request.url === '/v1/traces') exports.push(body as Export);
      headers.push(request.headers['x-team']?.toString());
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    };
    void answer();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return { endpoint: `http://127.0.0.1:${port}`, exports, headers };
}

function valueOf(attributes: readonly Attribute[], key: string): string | number | undefined {
  const value = attributes.find((attribute) => attribute.key === key)?.value;
  return value?.stringValue ?? value?.intValue;
}

function spansOf(exports: readonly Export[]): Span[] {
  return exports.flatMap((sent) =>
    sent.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)),
  );
}

function idOf({ traceId, spanId }: Pick<Span, 'traceId' | 'spanId'>): string {
  return `${traceId} ${spanId}`;
}

function linkedIds({ links = [] }: Span): Set<string> {
  return new Set(links.map(idOf));
}

async function startTraced(t: TestContext, environment: Record<string, string>) {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  return startService(t, { MODELS_DIR: models, ...environment });
}

async function score(origin: string, headers: Record<string, string>, body: Uint8Array<ArrayBuffer>) {
  const type = { 'content-type': 'application/octet-stream' };
  const response = await fetch(`${origin}/score`, { method: 'POST', headers: { ...type, ...headers }, body });
  await response.text();
  return response.status;
}

test('a request becomes a span of the caller’s trace, with a span for each stage; shutdown loses none', async (t) => {
  const { endpoint, exports, headers } = await startReceiver(t);
  const { origin, stop } = await startTraced(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_EXPORTER_OTLP_HEADERS: 'x-team=images',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
  });
  const body = scoreBody(randomSamples(TINY_SIZE, 3, 2), {
    sample_ids: JSON.stringify([`${PRIVATE}-a`, `${PRIVATE}-b`]),
  });
  const before = Date.now();
  assert.equal(await score(origin, { traceparent: `00-${TRACE}-${CALLER}-01` }, body), 200);
  assert.equal(await score(origin, { 'x-deadline-ms': '0' }, body), 200);
  await stop();

  const [first] = exports.flatMap(({ resourceSpans }) => resourceSpans);
  assert.equal(valueOf(first?.resource.attributes ?? [], 'service.name'), 'diffusion-probe');
  assert.equal(valueOf(first?.resource.attributes ?? [], 'deployment.environment.name'), 'test');
  assert.ok(headers.every((team) => team === 'images'));
  const spans = spansOf(exports);
  const [scored, failedOpen, ...others] = spans.filter(({ name }) => name === 'POST /score');
  assert.ok(scored && failedOpen && others.length === 0);
  assert.deepEqual([scored.traceId, scored.parentSpanId, scored.status.code], [TRACE, CALLER, 0]);
  assert.equal(valueOf(scored.attributes, 'diffusion_probe.model'), 'tiny');
  assert.equal(valueOf(scored.attributes, 'diffusion_probe.samples'), 2);
  const stages = spans.filter(({ parentSpanId }) => parentSpanId === scored.spanId);
  assert.deepEqual(
    stages.map(({ name }) => name),
    ['receive', 'decode', 'queue', 'inference', 'dispatch', 'decision'],
  );
  for (const { traceId, startTimeUnixNano: from, endTimeUnixNano: to } of stages) {
    assert.equal(traceId, TRACE);
    assert.ok(BigInt(scored.startTimeUnixNano) <= BigInt(from) && BigInt(from) <= BigInt(to));
  }
  const began = Number(BigInt(scored.startTimeUnixNano) / 1_000_000n);
  assert.ok(Math.abs(began - before) < 60_000, 'times are Unix times');

  assert.notEqual(failedOpen.traceId, TRACE);
  assert.equal(valueOf(failedOpen.attributes, 'diffusion_probe.reason'), 'deadline');
  assert.equal(failedOpen.status.code, 2);
  assert.ok(!JSON.stringify(exports).includes(PRIVATE), 'spans hold nothing from the body');
});

test('a batch run is a span with links to the sampled requests whose samples it held, and from them', async (t) => {
  const { endpoint, exports } = await startReceiver(t);
  const { origin, stop } = await startTraced(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    // No trace is sampled unless a caller sampled it: the batch run is recorded because of its requests.
    OTEL_TRACES_SAMPLER: 'parentbased_always_off',
    // The worker waits until the batch is full, which takes all three requests.
    MAX_BATCH_SAMPLES: '6',
    MAX_QUEUE_DELAY_US: '5000000',
  });
  const body = scoreBody(randomSamples(TINY_SIZE, 3, 2));
  const callers = ['01', '01', '00'].map(
    (flags, index) => `00-${TRACE.replace('4', String(index))}-${CALLER}-${flags}`,
  );
  const answers = callers.map((traceparent) => score(origin, { traceparent }, body));
  assert.deepEqual(await Promise.all(answers), [200, 200, 200]);
  await stop();

  const spans = spansOf(exports);
  const requests = spans.filter(({ name }) => name === 'POST /score');
  const [run, ...others] = spans.filter(({ name }) => name === 'batch run');
  assert.ok(run && requests.length === 2 && others.length === 0);
  assert.equal(run.parentSpanId, undefined);
  assert.deepEqual(
    RUN_ATTRIBUTES.map((key) => valueOf(run.attributes, `diffusion_probe.${key}`)),
    ['tiny', 1, 'cpu', 6, 18],
  );
  assert.deepEqual(linkedIds(run), new Set(requests.map(idOf)));
  const inferences = spans.filter(({ name }) => name === 'inference');
  assert.deepEqual(
    inferences.map((span) => [linkedIds(span), requests.some(({ spanId }) => spanId === span.parentSpanId)]),
    [
      [new Set([idOf(run)]), true],
      [new Set([idOf(run)]), true],
    ],
  );
});

test('a request whose caller did not sample the trace is not traced', async (t) => {
  const { endpoint, exports } = await startReceiver(t);
  const { origin, stop } = await startTraced(t, { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint });
  const body = scoreBody(randomSamples(TINY_SIZE, 3, 2));
  await score(origin, { traceparent: `00-${TRACE}-${CALLER}-00` }, body);
  await stop();
  assert.deepEqual(exports, []);
});

test('without a collector, requests are answered and the shutdown does not hang', async (t) => {
  const { origin, child, stop } = await startTraced(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
  });
  assert.equal(await score(origin, {}, scoreBody(randomSamples(TINY_SIZE, 3, 2))), 200);
  await stop();
  assert.equal(child.exitCode, 0);
});

test('tracing is off unless the standard variables enable it', () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };
  for (const [enabled, environment] of [
    [false, {}],
    [true, endpoint],
    [true, { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://collector:4318/v1/traces' }],
    [false, { ...endpoint, OTEL_SDK_DISABLED: 'true' }],
    [false, { ...endpoint, OTEL_TRACES_EXPORTER: 'none' }],
    [true, { ...endpoint, OTEL_TRACES_EXPORTER: 'otlp' }],
    [false, { OTEL_EXPORTER_OTLP_ENDPOINT: '' }],
  ] as const)
    assert.equal(isTracingEnabled(environment), enabled, JSON.stringify(environment));
});
