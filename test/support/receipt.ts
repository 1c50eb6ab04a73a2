/** A receipt of a kept sample, for tests. */
import type { Receipt } from '../../src/feedback/receipt.js';

export function receiptOf(changes: Partial<Receipt> = {}): Receipt {
  return {
    nonce: 'n',
    issuedAt: 0,
    model: 'tiny',
    version: 1,
    step: 5,
    sample: null,
    score: 0.5,
    policy: 'max_false_drop',
    alpha: 0.05,
    threshold: 0.4,
    wouldDrop: false,
    override: null,
    decision: 'keep',
    propensity: 1,
    lowestPropensity: 0.02,
    goodAt: 0.6,
    range: [0, 1],
    ...changes,
  };
}
