/**
 * Makes spans with OpenTelemetry's SDK and sends them by OTLP over HTTP as JSON. The SDK itself reads endpoint, headers,
 * sampler, batches and resource from OpenTelemetry's standard environment variables. Loaded only when tracing is enabled.
 */
import { setTimeout as delay } from 'node:timers/promises';

import {
  type Attributes,
  type Context,
  defaultTextMapGetter,
  type Link,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import { AlwaysOnSampler, BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';

import type { BatchRun } from '../engine/types.js';
import type { EndedRequest, RequestTrace, Tracing } from './tracing.js';

const SERVICE_NAME = 'diffusion-probe';
/**
 * How long close() waits for the collector. An unanswered export keeps the process alive until the exporter gives up, after
 * OTEL_EXPORTER_OTLP_TIMEOUT.
 */
const FLUSH_TIMEOUT_MS = 3000;

/** @param version of this service. */
export function startTracing(version: string): Tracing {
  // The later resource takes precedence: the environment can override the name of the service.
  const resource = defaultResource()
    .merge(resourceFromAttributes({ 'service.name': SERVICE_NAME, 'service.version': version }))
    .merge(detectResources({ detectors: [envDetector] }));
  const spanProcessors = [new BatchSpanProcessor(new OTLPTraceExporter())];
  const requestProvider = new BasicTracerProvider({ resource, spanProcessors });
  // Batch runs have traces of their own and are reported only when one of their requests was sampled: sample all of them.
  const runProvider = new BasicTracerProvider({ resource, spanProcessors, sampler: new AlwaysOnSampler() });
  const requestTracer = requestProvider.getTracer(SERVICE_NAME, version);
  const runTracer = runProvider.getTracer(SERVICE_NAME, version);
  const propagator = new W3CTraceContextPropagator();
  return {
    begin: (headers, from) => {
      const parent = propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
      const times = { startTime: epochMs(from) };
      const span = requestTracer.startSpan('POST /score', { kind: SpanKind.SERVER, ...times }, parent);
      return span.isRecording() ? new TracedRequest(requestTracer, span, parent) : undefined;
    },
    recordRun: (run) => recordRun(runTracer, run),
    close: async () => {
      const flushed = Promise.allSettled([requestProvider.shutdown(), runProvider.shutdown()]);
      await Promise.race([flushed, delay(FLUSH_TIMEOUT_MS, undefined, { ref: false })]);
    },
  };
}

class TracedRequest implements RequestTrace {
  readonly #tracer: Tracer;
  readonly #span: Span;
  readonly #parent: Context;
  readonly #runs: Link[] = [];

  constructor(tracer: Tracer, span: Span, parent: Context) {
    this.#tracer = tracer;
    this.#span = span;
    this.#parent = parent;
  }

  get link(): Link {
    return { context: this.#span.spanContext() };
  }

  /** Links a batch run that held samples of this request. */
  addRun(run: Link): void {
    this.#runs.push(run);
  }

  /** Makes the spans of the stages too: only now are all their times known. */
  end({ to, stages, attributes, isFault }: EndedRequest): void {
    this.#span.setAttributes(definedOnly(attributes));
    if (isFault) this.#span.setStatus({ code: SpanStatusCode.ERROR });
    const context = trace.setSpan(this.#parent, this.#span);
    for (const { stage, from: begun, to: ended } of stages) {
      const links = stage === 'inference' ? this.#runs : [];
      this.#tracer.startSpan(stage, { startTime: epochMs(begun), links }, context).end(epochMs(ended));
    }
    this.#span.end(epochMs(to));
  }
}

/** A batch run serves several requests, so it has a trace of its own, with links to each of theirs and back. */
function recordRun(tracer: Tracer, run: BatchRun): void {
  const requests = run.origins.filter((origin) => origin instanceof TracedRequest);
  if (requests.length === 0) return;
  const { name, version, provider } = run.probe;
  const span = tracer.startSpan(
    'batch run',
    {
      startTime: epochMs(run.from),
      links: requests.map(({ link }) => link),
      attributes: {
        'diffusion_probe.model': name,
        'diffusion_probe.version': version,
        'diffusion_probe.provider': provider,
        'diffusion_probe.batch_size': run.samples,
        'diffusion_probe.padded_tokens': run.paddedTokens,
      },
    },
    ROOT_CONTEXT,
  );
  if (run.ms === undefined) span.setStatus({ code: SpanStatusCode.ERROR });
  for (const request of requests) request.addRun({ context: span.spanContext() });
  span.end(epochMs(run.to));
}

/**
 * Unix time, ms, of a time on the clock of performance.now(). The SDK accepts such times too, but adds the present offset
 * between the two clocks per span, so that stages could begin before their request.
 */
function epochMs(time: number): number {
  return performance.timeOrigin + time;
}

function definedOnly(attributes: EndedRequest['attributes']): Attributes {
  const known = Object.entries(attributes).filter(
    (entry): entry is [string, string | number] => entry[1] !== undefined,
  );
  return Object.fromEntries(known);
}
