/**
 * Owns the traces on their way out: spans by OpenTelemetry's SDK, sent by OTLP over HTTP as JSON. Endpoint, headers,
 * sampler, batches and resource come from OpenTelemetry's standard environment variables, which the SDK reads itself.
 * Loaded only where tracing is asked for.
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
 * Longer nobody waits at the end for a collector that does not answer. The process still lives until the exporter gives
 * up by itself, after OTEL_EXPORTER_OTLP_TIMEOUT.
 */
const LAST_WORDS_MS = 3000;

/** Starts to collect spans. @param version of this service. */
export function startTracing(version: string): Tracing {
  const own = resourceFromAttributes({ 'service.name': SERVICE_NAME, 'service.version': version });
  // What the environment says of the resource goes before what we do.
  const resource = defaultResource()
    .merge(own)
    .merge(detectResources({ detectors: [envDetector] }));
  const spanProcessors = [new BatchSpanProcessor(new OTLPTraceExporter())];
  const ofRequests = new BasicTracerProvider({ resource, spanProcessors });
  // Runs are in no caller's trace: one is kept wherever a request in it is, and those have been sampled already.
  const ofRuns = new BasicTracerProvider({ resource, spanProcessors, sampler: new AlwaysOnSampler() });
  const requestTracer = ofRequests.getTracer(SERVICE_NAME, version);
  const runTracer = ofRuns.getTracer(SERVICE_NAME, version);
  const propagator = new W3CTraceContextPropagator();
  return {
    begin: (headers, from) => {
      const parent = propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
      const times = { startTime: onTheWall(from) };
      const span = requestTracer.startSpan('POST /score', { kind: SpanKind.SERVER, ...times }, parent);
      return span.isRecording() ? new TracedRequest(requestTracer, span, parent) : undefined;
    },
    recordRun: (run) => recordRun(runTracer, run),
    close: async () => {
      const sent = Promise.allSettled([ofRequests.shutdown(), ofRuns.shutdown()]);
      await Promise.race([sent, delay(LAST_WORDS_MS, undefined, { ref: false })]);
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

  /** Notes a run that held samples of this request. */
  ranIn(run: Link): void {
    this.#runs.push(run);
  }

  /** The stages become spans only now, when all their times are known. */
  end({ to, stages, attributes, isFault }: EndedRequest): void {
    this.#span.setAttributes(withoutUnknown(attributes));
    if (isFault) this.#span.setStatus({ code: SpanStatusCode.ERROR });
    const within = trace.setSpan(this.#parent, this.#span);
    for (const { stage, from: begun, to: ended } of stages) {
      const links = stage === 'inference' ? this.#runs : [];
      this.#tracer.startSpan(stage, { startTime: onTheWall(begun), links }, within).end(onTheWall(ended));
    }
    this.#span.end(onTheWall(to));
  }
}

/** A run serves several requests, so it has a trace of its own: links lead to each of theirs, and back. */
function recordRun(tracer: Tracer, run: BatchRun): void {
  const requests = run.origins.filter((origin) => origin instanceof TracedRequest);
  const { name, version, provider } = run.probe;
  const span = tracer.startSpan(
    'batch run',
    {
      startTime: onTheWall(run.from),
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
  if (run.isFault) span.setStatus({ code: SpanStatusCode.ERROR });
  for (const request of requests) request.ranIn({ context: span.spanContext() });
  span.end(onTheWall(run.to));
}

/**
 * The SDK would take times of performance.now() too, but adjusts them to the clock on the wall for each span anew, so that
 * stages would begin before their request.
 */
function onTheWall(time: number): number {
  return performance.timeOrigin + time;
}

function withoutUnknown(attributes: EndedRequest['attributes']): Attributes {
  const known = Object.entries(attributes).filter(
    (entry): entry is [string, string | number] => entry[1] !== undefined,
  );
  return Object.fromEntries(known);
}
