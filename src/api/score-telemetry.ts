/** Reports requests to /score to the metrics and the traces. */
import type { FastifyRequest } from 'fastify';

import type { Metrics } from '../telemetry/metrics.js';
import type { UnscoredEvent } from '../telemetry/score-metrics.js';
import type { ScoreContext } from './score-context.js';
import type { ScoreResult } from './score-schemas.js';

/** Why a request got no scores. */
export type Failure = Pick<UnscoredEvent, 'outcome' | 'reason'>;

const SCORED = { outcome: 'scored', reason: 'none' } as const;

/**
 * Counts a request whose clock has stopped, and ends its trace.
 * @param results empty after a failure. @param failure undefined when the request got scores.
 */
export function reportScore(
  metrics: Metrics,
  request: FastifyRequest,
  { clock, trace, findings }: ScoreContext,
  results: readonly ScoreResult[],
  failure: Failure | undefined,
): void {
  const { probe, policy, point, samples, conditions } = findings;
  const { outcome, reason } = failure ?? SCORED;
  const { endedAt } = clock;
  if (failure) metrics.countUnscored({ ...failure, probe, samples });
  else if (probe && policy && point && conditions)
    metrics.countScored({ probe, policy, step: point.step, conditions, results });
  const { name: tenant, isKey } = request.tenant;
  metrics.countTenant({ tenant, isKey, outcome, reason, samples: results.length });
  metrics.observeStages(probe, clock.intervals());
  if (probe) metrics.addWait(probe, endedAt - clock.startedAt);
  trace?.end({
    to: endedAt,
    stages: clock.intervals().filter(({ stage }) => stage !== 'total'),
    attributes: {
      'http.request.method': request.method,
      'http.route': request.routeOptions.url ?? '',
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
