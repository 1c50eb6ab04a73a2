/** Counts the parts that wait, in all and of each tenant. Only count() changes the figures. */
import type { Part } from './score-request.js';

export class PartCounts {
  readonly all = nothing();
  /** Tenants of which nothing waits are absent. */
  readonly byTenant = new Map<string, ReturnType<typeof nothing>>();

  of(tenant: string): ReturnType<typeof nothing> {
    return this.byTenant.get(tenant) ?? nothing();
  }

  /** @param sign -1 when the part leaves. */
  count({ request: { tenant }, samples, tokens, bytes }: Part, sign: 1 | -1): void {
    const own = this.of(tenant);
    for (const count of [this.all, own]) {
      count.samples += sign * samples;
      count.tokens += sign * tokens;
      count.bytes += sign * bytes;
    }
    if (own.samples === 0) this.byTenant.delete(tenant);
    else this.byTenant.set(tenant, own);
  }
}

function nothing() {
  return { samples: 0, tokens: 0, bytes: 0 };
}
