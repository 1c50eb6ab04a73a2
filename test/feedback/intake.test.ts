/** Returned receipts are checked one by one, counted once, and weighted by the probability that the sample was finished. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  type AcceptedFeedback,
  FeedbackIntake,
  type FeedbackRefusal,
  RecentNonces,
} from '../../src/feedback/intake.js';
import { KeyRing, randomKeys } from '../../src/feedback/keys.js';
import { newNonce, type Receipt, signReceipt } from '../../src/feedback/receipt.js';
import { receiptOf } from '../support/receipt.js';

const keys = new KeyRing([{ id: 'k', secret: Buffer.alloc(32, 1) }]);
const NOW = 1_800_000_000_000;

function validReceipt(changes: Partial<Receipt> = {}): Receipt {
  return receiptOf({ nonce: newNonce(), issuedAt: NOW - 2500, ...changes });
}

function receipt(changes: Partial<Receipt> = {}): string {
  return signReceipt(keys, validReceipt(changes));
}

const explored = { wouldDrop: true, override: 'explore', propensity: 0.02 } as const;

function intake(remembered = 1000) {
  const accepted: AcceptedFeedback[] = [];
  const refused: FeedbackRefusal[] = [];
  const observer = {
    onAccepted: (feedback: AcceptedFeedback) => accepted.push(feedback),
    onRefused: (reason: FeedbackRefusal) => refused.push(reason),
  };
  const subject = new FeedbackIntake({
    keys: () => keys,
    observer,
    lifetimeSeconds: 60,
    remembered,
    now: () => NOW,
  });
  return { subject, accepted, refused };
}

test('each bad receipt is refused and the others count', async () => {
  const { subject, accepted, refused } = intake();
  const good = receipt();
  const foreign = signReceipt(randomKeys(), validReceipt());
  const payload = receipt().split('.')[1] ?? assert.fail();
  const items = [
    { receipt: good, quality: 0.7 },
    { receipt: 'nothing', quality: 0.7 },
    { receipt: 7, quality: 0.7 },
    { receipt: foreign, quality: 0.7 },
    { receipt: good.replace(/\.[^.]+\./, `.${payload}.`), quality: 0.7 },
    { receipt: receipt({ issuedAt: NOW - 60_001 }), quality: 0.7 },
    { receipt: good, quality: 0.7 },
    { receipt: receipt({ decision: 'drop' }), quality: 0.7 },
    { receipt: receipt(), quality: NaN },
    { receipt: receipt(), quality: '0.7' },
    { receipt: receipt(), quality: -3 },
  ];
  const reasons = [
    [1, 'malformed'],
    [2, 'malformed'],
    [3, 'foreign'],
    [4, 'tampered'],
    [5, 'expired'],
    [6, 'repeated'],
    [7, 'dropped'],
    [8, 'invalid_quality'],
    [9, 'invalid_quality'],
  ] as const;
  assert.deepEqual(await subject.take(items), {
    accepted: 2,
    refused: reasons.map(([index, reason]) => ({ index, reason })),
  });
  assert.deepEqual(
    accepted.map(({ quality, delaySeconds }) => [quality, delaySeconds]),
    [
      [0.7, 2.5],
      [-3, 2.5],
    ],
  );
  assert.deepEqual(
    refused,
    reasons.map(([, reason]) => reason),
  );
});

test('a receipt that was refused for its quality can come again with a valid one', async () => {
  const { subject } = intake();
  const item = receipt();
  assert.equal((await subject.take([{ receipt: item, quality: null }])).accepted, 0);
  assert.equal((await subject.take([{ receipt: item, quality: 0.5 }])).accepted, 1);
});

test('only the latest receipts are remembered', async () => {
  const { subject } = intake(2);
  const [first, second, third] = [receipt(), receipt(), receipt()];
  const take = async (...items: string[]) =>
    (await subject.take(items.map((item) => ({ receipt: item, quality: 0.5 })))).accepted;
  assert.equal(await take(first, second, third), 3);
  assert.equal(await take(third, second), 0);
  assert.equal(await take(first), 1);
});

test('nonces are removed in the order in which they came', () => {
  const recent = new RecentNonces(3);
  for (const nonce of ['a', 'b', 'c', 'd']) recent.add(nonce);
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((nonce) => recent.has(nonce)),
    [false, true, true, true],
  );
});

/** The weights of receipts that come in one request. */
async function weights(...receipts: string[]): Promise<(number | undefined)[]> {
  const { subject, accepted } = intake();
  await subject.take(receipts.map((item) => ({ receipt: item, quality: 0.5 })));
  return accepted.map(({ weight }) => weight);
}

test('the weight of a sample is one over the probability that it was finished', async () => {
  assert.deepEqual(await weights(receipt(), receipt(explored)), [1, 50]);
  assert.deepEqual(await weights(receipt({ wouldDrop: true, override: 'shadow', lowestPropensity: 1 })), [1]);
});

test('a sample that exploration kept at one step has the same weight at its other steps', async () => {
  const early = receipt({ step: 3, sample: 's' });
  const late = receipt({ step: 5, sample: 's', ...explored });
  const other = receipt({ step: 3, sample: 't' });
  assert.deepEqual(await weights(early, late, other), [50, 50, 1]);
});

test('samples of different probes, and samples without an id, are weighted separately', async () => {
  const saved = receipt({ sample: 's', ...explored });
  assert.deepEqual(await weights(saved, receipt({ sample: 's', version: 2 })), [50, 1]);
  assert.deepEqual(await weights(receipt(explored), receipt()), [50, 1]);
});

test('without exploration there are no weights', async () => {
  assert.deepEqual(await weights(receipt({ lowestPropensity: 0 })), [undefined]);
  const early = receipt({ step: 3, sample: 's', lowestPropensity: 0.02 });
  const late = receipt({ step: 5, sample: 's', lowestPropensity: 0 });
  assert.deepEqual(await weights(early, late), [undefined, undefined]);
});

test('draws of different policies are independent, so their probabilities are multiplied', async () => {
  const early = receipt({ step: 3, sample: 's.one', ...explored });
  const late = receipt({ step: 5, sample: 's.two', ...explored });
  const later = receipt({ step: 8, sample: 's.two' });
  assert.deepEqual(
    (await weights(early, late, later)).map((weight) => Math.round(weight ?? NaN)),
    [2500, 2500, 2500],
  );
});
