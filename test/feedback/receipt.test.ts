/** Receipts return what was signed, and cannot be made or changed without the key. Keys files are checked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { parseReceiptKeys } from '../../src/config/key-files.js';
import { OVERRIDES } from '../../src/decision/decide.js';
import { KeyRing, randomKeys } from '../../src/feedback/keys.js';
import { openReceipt, type Receipt, signReceipt } from '../../src/feedback/receipt.js';

const secret = (fill: number) => Buffer.alloc(32, fill);
const keys = new KeyRing([{ id: 'k1', secret: secret(1) }]);

const text = fc.string({ unit: 'binary', maxLength: 40 });
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
const anyReceipt: fc.Arbitrary<Receipt> = fc.record(
  {
    nonce: text,
    issuedAt: fc.nat(),
    model: text,
    version: fc.nat(),
    step: fc.nat(),
    sample: fc.option(text),
    score: fc
      .float({ noNaN: true, noDefaultInfinity: true })
      .map((value) => Number(value.toPrecision(8)) + 0),
    policy: text,
    alpha: fc.option(number),
    threshold: fc.option(number),
    wouldDrop: fc.boolean(),
    override: fc.option(fc.constantFrom('explore' as const, 'shadow' as const, 'min_keep' as const)),
    decision: fc.constantFrom('keep' as const, 'drop' as const),
    propensity: number,
    lowestPropensity: number,
    goodAt: number,
    range: fc.tuple(number, number),
  },
  { noNullPrototype: true },
);
const [sampleReceipt = assert.fail()] = fc.sample(anyReceipt, 1);

test('opening a signed receipt returns its content', () => {
  fc.assert(
    fc.property(anyReceipt, (receipt) => {
      assert.deepEqual(openReceipt(keys, signReceipt(keys, receipt)), receipt);
    }),
  );
});

test('a receipt needs no escaping in a header or a URL, and is short', () => {
  fc.assert(
    fc.property(anyReceipt, (receipt) => {
      const written = signReceipt(keys, receipt);
      assert.equal(encodeURIComponent(written), written);
    }),
  );
  const usual: Receipt = {
    nonce: 'abcdefghijkl',
    issuedAt: 1_800_000_000_000,
    model: 'pictogram',
    version: 12,
    step: 5,
    sample: 'abcdefghijkl',
    score: Math.fround(0.456_789),
    policy: 'max_false_drop',
    alpha: 0.05,
    threshold: 0.347_621,
    wouldDrop: false,
    override: null,
    decision: 'keep',
    propensity: 1,
    lowestPropensity: 0.02,
    goodAt: 0.6,
    range: [0, 1],
  };
  assert.ok(signReceipt(keys, usual).length < 260, signReceipt(keys, usual));
});

/** A receipt as another version may write it. */
function writtenWith(change: (list: unknown[]) => unknown[]): string {
  const [id = '', payload = ''] = signReceipt(keys, sampleReceipt).split('.');
  const list = change(JSON.parse(Buffer.from(payload, 'base64url').toString()) as unknown[]);
  const signed = `${id}.${Buffer.from(JSON.stringify(list)).toString('base64url')}`;
  return `${signed}.${keys.mac(signed).toString('base64url', 0, 16)}`;
}

const OVERRIDE_AT = 12;

test('a receipt of a newer replica is read, although its override is not known', () => {
  const receipt = openReceipt(
    keys,
    writtenWith((list) => list.with(OVERRIDE_AT, 'new')),
  );
  assert.deepEqual(receipt, { ...sampleReceipt, override: 'new' });
});

test('a receipt of an older replica is read', () => {
  // As version 0.2 wrote it: format 1, with one of its three overrides.
  const old = writtenWith((list) => {
    assert.deepEqual([list.length, list[0]], [19, 1]);
    return list.with(OVERRIDE_AT, 'min_keep');
  });
  assert.deepEqual(openReceipt(keys, old), { ...sampleReceipt, override: 'min_keep' });
});

test('an older replica can read every receipt: its form and its overrides are those of version 0.2', () => {
  for (const override of OVERRIDES) {
    const receipt = { ...sampleReceipt, override, wouldDrop: true, decision: 'keep', propensity: 1 } as const;
    const [, payload = ''] = signReceipt(keys, receipt).split('.');
    const list = JSON.parse(Buffer.from(payload, 'base64url').toString()) as unknown[];
    assert.deepEqual([list.length, list[0]], [19, 1]);
    assert.ok([null, 'explore', 'shadow', 'min_keep'].includes(list[OVERRIDE_AT] as string | null), override);
  }
});

test('a change of any single character is detected', () => {
  const written = signReceipt(keys, sampleReceipt);
  for (const position of written.split('').keys()) {
    const changed = written[position] === 'A' ? 'B' : 'A';
    const forged = written.slice(0, position) + changed + written.slice(position + 1);
    assert.ok(typeof openReceipt(keys, forged) === 'string', `at ${position}`);
  }
});

test('any other text is a fault and throws nothing', () => {
  const charset = fc.constantFrom(...'abcXYZ019_-.=+/ \u0000é'.split(''));
  fc.assert(
    fc.property(fc.string({ unit: charset, maxLength: 80 }), (garbage) => {
      const fault = openReceipt(keys, garbage);
      assert.ok(fault === 'malformed' || fault === 'foreign' || fault === 'tampered');
    }),
  );
  assert.equal(openReceipt(keys, ''), 'malformed');
  assert.equal(openReceipt(keys, `k1.${'a'.repeat(100_000)}.${'a'.repeat(22)}`), 'malformed');
});

test('keys can be rotated while receipts are outstanding', () => {
  const added = new KeyRing([
    { id: 'k1', secret: secret(1) },
    { id: 'k2', secret: secret(2) },
  ]);
  const changed = new KeyRing([
    { id: 'k2', secret: secret(2) },
    { id: 'k1', secret: secret(1) },
  ]);
  const removed = new KeyRing([{ id: 'k2', secret: secret(2) }]);
  const old = signReceipt(keys, sampleReceipt);
  const recent = signReceipt(changed, sampleReceipt);
  assert.deepEqual(openReceipt(changed, old), sampleReceipt);
  assert.deepEqual(
    openReceipt(added, recent),
    sampleReceipt,
    'a replica that does not sign with the new key yet verifies it',
  );
  assert.equal(openReceipt(removed, old), 'foreign');
  assert.equal(openReceipt(keys, recent), 'foreign');
  assert.equal(openReceipt(new KeyRing([{ id: 'k1', secret: secret(9) }]), old), 'tampered');
});

test('processes without a keys file refuse each other’s receipts', () => {
  const receipt = signReceipt(randomKeys(), sampleReceipt);
  assert.equal(openReceipt(randomKeys(), receipt), 'foreign');
});

test('a keys file is read, or refused by a message without any secret', () => {
  const good = secret(3).toString('base64');
  const file = (...all: unknown[]) => JSON.stringify({ keys: all });
  assert.equal(parseReceiptKeys(file({ id: 'a', secret: good }, { id: 'b', secret: good })).currentId, 'a');
  for (const [content, place] of [
    [file(), /^keys: /],
    [file({ id: 'a' }), /^keys\.0\.secret: /],
    [file({ id: 'a', secret: 'c2hvcnQ=' }), /^keys\.0\.secret: must hold 32 bytes or more/],
    [file({ id: 'a', secret: '!' }), /^keys\.0\.secret: must be base64/],
    [file({ id: 'a.b', secret: good }), /^keys\.0\.id: must be /],
    [file({ id: 'a', secret: good }, { id: 'a', secret: good }), /^keys: must have different ids/],
    ['{', /not valid JSON/],
  ] as const) {
    assert.throws(
      () => parseReceiptKeys(content),
      ({ message }: Error) => place.test(message) && !message.includes(good) && !message.includes('c2hvcnQ'),
      content,
    );
  }
});
