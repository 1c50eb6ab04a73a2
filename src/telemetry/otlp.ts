/**
 * Owns the traces on their way out: spans by OpenTelemetry's SDK, sent by OTLP over HTTP as JSON. Endpoint, headers,
 * sampler, batches and resource come from OpenTelemetry's standard environment variables, which the SDK reads itself.
 * Loaded only where tracing is asked for.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { defaultTextMapGetter, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';

import type { TracedRequest, Tracing } from './tracing.js';

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
  const provider = new BasicTracerProvider({
    resource,
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  const tracer = provider.getTracer(SERVICE_NAME, version);
  const propagator = new W3CTraceContextPropagator();

  // Made when the request is over: nothing has to be carried along, and all times and attributes are known.
  const record = ({ headers, from, to, stages, attributes, isFault }: TracedRequest): void => {
    const parent = propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
    const span = tracer.startSpan(
      'POST /score',
      { kind: SpanKind.SERVER, startTime: onTheWall(from), attributes: withoutUnknown(attributes) },
      parent,
    );
    if (isFault) span.setStatus({ code: SpanStatusCode.ERROR });
    const within = trace.setSpan(parent, span);
    for (const { stage, from: begun, to: ended } of stages)
      tracer.startSpan(stage, { startTime: onTheWall(begun) }, within).end(onTheWall(ended));
    span.end(onTheWall(to));
  };
  return {
    trace: record,
    close: async () => {
      const sent = provider.shutdown().catch(() => {});
      await Promise.race([sent, delay(LAST_WORDS_MS, undefined, { ref: false })]);
    },
  };
}

/**
 * The SDK would take times of performance.now() too, but adjusts them to the clock on the wall for each span anew, so that
 * stages would begin before their request.
 */
function onTheWall(time: number): number {
  return performance.timeOrigin + time;
}

function withoutUnknown(attributes: TracedRequest['attributes']): Record<string, string | number> {
  const known = Object.entries(attributes).filter(
    (entry): entry is [string, string | number] => entry[1] !== undefined,
  );
  return Object.fromEntries(known);
}
