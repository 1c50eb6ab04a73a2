/** Owns what of a request goes into a trace, and when there is tracing at all. telemetry/otlp.ts sends it. */
import type { IncomingHttpHeaders } from 'node:http';

import type { StageInterval } from './stages.js';

/** A request to /score that has been answered or has failed. */
export interface TracedRequest {
  /** `traceparent` among them says which trace the request belongs to. */
  readonly headers: IncomingHttpHeaders;
  /** On the clock of performance.now(), ms. */
  readonly from: number;
  readonly to: number;
  readonly stages: readonly StageInterval[];
  /** Nothing of the body; undefined where it is not known. */
  readonly attributes: Readonly<Record<string, string | number | undefined>>;
  /** Whether the service is at fault. */
  readonly isFault: boolean;
}

export interface Tracing {
  trace(request: TracedRequest): void;
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
