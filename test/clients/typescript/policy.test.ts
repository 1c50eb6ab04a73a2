/** The client's type of a policy is the one that the service reads. Checked by the compiler. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Policy } from '../../../clients/typescript/src/index.js';
import { type Policy as ServicePolicy, policySchema } from '../../../src/decision/policy.js';

const POLICIES: Policy[] = [
  { name: 'max_false_drop', alpha: 0.05, min_keep: 1, mode: 'shadow', explore: { rate: 0.1 } },
  { name: 'max_false_drop', alphas: { '5': 0.02 }, confidence: 0.9 },
  { name: 'max_false_drop', confidence: null },
  { name: 'threshold', value: 0.6 },
  { name: 'top_k', k: 2 },
  { name: 'top_fraction', fraction: 0.25 },
  { name: 'plan', budget: 3 },
  { name: 'plan', seeds: 8, keep: { '5': 2 }, min_keep: 1 },
  { name: 'score_only' },
];

/** Compile only when the two types are assignable to each other, in all their members. */
const toService = (policy: Policy): ServicePolicy => policy;
const toClient = (policy: ServicePolicy): Policy => policy;
const sameMembers: Record<MembersOf<Policy>, true> = {} as Record<MembersOf<ServicePolicy>, true>;

type MembersOf<Union> = Union extends unknown ? keyof Union : never;

test('a policy of the client is one of the service, and the other way round', () => {
  for (const policy of POLICIES) assert.deepEqual(toClient(policySchema.parse(toService(policy))), policy);
  assert.deepEqual(sameMembers, {});
});
