/** Reports requests to /score to the metrics and the traces. */
import type { FastifyRequest } from 'fastify';

import type { Metrics } from '../telemetry/metrics.js';
import type { UnscoredEvent } from '../telemetry/score-metrics.js';
import type { RequestTrace, Tracing } from '../telemetry/tracing.js';
import type { Findings, ScoreContext } from './score-context.js';
import type { ScoreResult } from './score-schemas.js';

/** Why a request got no scores. */
export type Failure = Pick<UnscoredEvent, 'outcome' | 'reason'>;

const SCORED = { outcome: 'scored', reason: 'none' } as const;

export class ScoreTelemetry {
  readonly #metrics: Metrics;
  readonly #tracing: Tracing | undefined;

  constructor(metrics: Metrics, tracing: Tracing | undefined) {
    this.#metrics = metrics;
    this.#tracing = tracing;
  }

  /** Undefined when the request is not traced. */
  beginTrace({ headers, arrivedAt }: FastifyRequest): RequestTrace | undefined {
    return this.#tracing?.begin(headers, arrivedAt);
  }

  scored({ probe, policy, point }: Findings, results: readonly ScoreResult[]): void {
    if (probe && policy && point) this.#metrics.scored({ probe, policy, step: point.step, results });
  }

  unscored({ probe, samples }: Findings, { outcome, reason }: Failure): void {
    this.#metrics.unscored({ outcome, reason, probe, samples });
  }

  /** Stops the clock, counts the stages and ends the trace. */
  end(request: FastifyRequest, { clock, trace, findings }: ScoreContext, failure: Failure | undefined): void {
    const { probe, policy, point, samples } = findings;
    const { outcome, reason } = failure ?? SCORED;
    const endedAt = clock.stop();
    this.#metrics.stages(probe, clock.intervals());
    if (probe) this.#metrics.waited(probe, endedAt - clock.startedAt);
    trace?.end({
      to: endedAt,
      stages: clock.intervals().filter(({ stage }) => stage !== 'total'),
      attributes: {
        'http.request.method': request.method,
        'http.route': '/score',
        'diffusion_probe.request_id': request.id,
        'diffusion_probe.outcome': outcome,
        'diffusion_probe.reason': reason,
        'diffusion_probe.model': probe?.name,
        'diffusion_probe.version': probe?.version,
        'diffusion_probe.provider': probe?.provider,
        'diffusion_probe.policy': policy?.name,
        'diffusion_probe.step': point?.step,
        'diffusion_probe.samples': samples,
      },
      isFault: outcome === 'failed' || outcome === 'failed_open',
    });
  }
}
