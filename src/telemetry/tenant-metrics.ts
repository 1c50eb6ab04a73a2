/** Counts requests to /score by caller. The number of callers that have a name in the metrics is bounded. */
import type { Instruments } from './instruments.js';
import type { UnscoredEvent } from './score-metrics.js';

const MAX_NAMED = 100;
const OTHER = 'other';
const OUTCOMES = ['scored', 'failed_open', 'refused', 'failed', 'gone'] as const;

/** One request of a caller. */
export interface TenantEvent {
  readonly tenant: string;
  /** The tenant is an API key, of which there are few, so that it always has its name. */
  readonly isKey: boolean;
  readonly outcome: 'scored' | UnscoredEvent['outcome'];
  readonly reason: UnscoredEvent['reason'];
  /** Samples that were scored. */
  readonly samples: number;
}

export interface TenantCounter {
  readonly count: (event: TenantEvent) => void;
  /** Starts the counters of an API key at zero, once. */
  readonly startKey: (id: string) => void;
}

export function tenantCounter({ tenantRequests, tenantSamples, tenantLimited }: Instruments): TenantCounter {
  const named = new Set<string>();
  const startAtZero = (tenant: string): void => {
    named.add(tenant);
    for (const outcome of OUTCOMES) tenantRequests.add({ tenant, outcome }, 0);
    tenantSamples.add({ tenant }, 0);
    tenantLimited.add({ tenant }, 0);
  };
  startAtZero(OTHER);
  let others = 0;
  const startKey = (id: string): void => {
    if (!named.has(id)) startAtZero(id);
  };
  const count: TenantCounter['count'] = ({ tenant: name, isKey, outcome, reason, samples }) => {
    if (!named.has(name) && (isKey || others < MAX_NAMED)) {
      startAtZero(name);
      others += Number(!isKey);
    }
    const tenant = named.has(name) ? name : OTHER;
    tenantRequests.add({ tenant, outcome });
    tenantSamples.add({ tenant }, samples);
    if (reason === 'tenant_limit') tenantLimited.add({ tenant });
  };
  return { count, startKey };
}
