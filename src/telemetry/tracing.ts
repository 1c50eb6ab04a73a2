/** Owns what of requests and runs goes into traces, and when there is tracing at all. telemetry/otlp.ts sends it. */
import type { IncomingHttpHeaders } from 'node:http';

import type { BatchRun } from '../engine/types.js';
import type { StageInterval } from './stages.js';

/** What is known of a request to /score once it has been answered or has failed. */
export interface EndedRequest {
  /** On the clock of performance.now(), ms. */
  readonly to: number;
  readonly stages: readonly StageInterval[];
  /** Nothing of the body; undefined where it is not known. */
  readonly attributes: Readonly<Record<string, string | number | undefined>>;
  /** Whether the service is at fault. */
  readonly isFault: boolean;
}

/** A request that is being traced. */
export interface RequestTrace {
  end(request: EndedRequest): void;
}

export interface Tracing {
  /**
   * Begins to trace a request; undefined where its trace is not sampled.
   * @param headers `traceparent` among them says which trace it belongs to. @param from on the clock of performance.now(), ms.
   */
  begin(headers: IncomingHttpHeaders, from: number): RequestTrace | undefined;
  /** Takes in a run of the engine for requests that are traced: their traces are its origins. */
  recordRun(run: BatchRun): void;
  /** Sends what is left. */
  close(): Promise<void>;
}

/** Whether OpenTelemetry's standard variables ask for traces: an endpoint is set, and nothing switches them off. */
export function isTracingAsked(environment: Readonly<Record<string, string | undefined>>): boolean {
  const { OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER = 'otlp' } = environment;
  if (OTEL_SDK_DISABLED?.toLowerCase() === 'true' || OTEL_TRACES_EXPORTER.trim() !== 'otlp') return false;
  const { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT } = environment;
  return Boolean(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || OTEL_EXPORTER_OTLP_ENDPOINT);
}
