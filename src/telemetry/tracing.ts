/** The interface of tracing, and the settings that enable it. otlp.ts implements it with OpenTelemetry. */
import type { IncomingHttpHeaders } from 'node:http';

import type { BatchRun } from '../engine/types.js';

/**
 * The stages of /score, as metrics, spans and the Server-Timing header name them. They add up to `total`; `dispatch` is the way
 * of a batch to its worker and of the scores back.
 */
export const STAGES = ['receive', 'decode', 'queue', 'inference', 'dispatch', 'decision', 'total'] as const;

export type Stage = (typeof STAGES)[number];

/** When a stage began and ended, on the clock of performance.now(), ms. */
export interface StageInterval {
  readonly stage: Stage;
  readonly from: number;
  readonly to: number;
}

/** A request to /score that was answered or has failed. */
export interface EndedRequest {
  /** On the clock of performance.now(), ms. */
  readonly to: number;
  readonly stages: readonly StageInterval[];
  /** Never values from the body; undefined when not known. */
  readonly attributes: Readonly<Record<string, string | number | undefined>>;
  /** Whether the service caused the failure. */
  readonly isFault: boolean;
}

export interface RequestTrace {
  end(request: EndedRequest): void;
}

export interface Tracing {
  /**
   * Starts the trace of a request; undefined when the trace is not sampled.
   * @param headers with `traceparent` when the caller has a trace. @param from on the clock of performance.now(), ms.
   */
  begin(headers: IncomingHttpHeaders, from: number): RequestTrace | undefined;
  /** Records a batch run. The `origins` of the run are the traces of its requests. */
  recordRun(run: BatchRun): void;
  /** Sends the remaining spans. */
  close(): Promise<void>;
}

/** Whether OpenTelemetry's standard environment variables set an endpoint and do not disable traces. */
export function isTracingEnabled(environment: Readonly<Record<string, string | undefined>>): boolean {
  const { OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER = 'otlp' } = environment;
  if (OTEL_SDK_DISABLED?.toLowerCase() === 'true' || OTEL_TRACES_EXPORTER.trim() !== 'otlp') return false;
  const { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT } = environment;
  return Boolean(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || OTEL_EXPORTER_OTLP_ENDPOINT);
}
