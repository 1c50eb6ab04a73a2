/**
 * Signs and opens receipts. A receipt holds a decision and how it was made, so that the service need not store it. Callers
 * return it unread: `<key id>.<payload>.<first 16 bytes of the HMAC-SHA-256 of both>`, the latter two as base64url. The
 * payload is a JSON list: the version of the format, then the fields of `receiptFields`, then the two ends of the range.
 */
import { randomFillSync, timingSafeEqual } from 'node:crypto';

import * as z from 'zod';

import type { KeyRing } from './keys.js';

const FORMAT = 1;
const NONCE_BYTES = 9;
const MAC_BYTES = 16;
/** Scores are float32 numbers, which have no more significant digits. */
const SCORE_DIGITS = 8;
/**
 * The overrides that every reader of this FORMAT knows. Others are written as null, because readers of version 0.2 refuse an
 * override that they do not know. Statistics depend only on the propensities and on `explore`.
 */
const WRITTEN_OVERRIDES: ReadonlySet<string> = new Set(['explore', 'shadow', 'min_keep']);
const RECEIPT = /^([A-Za-z0-9_-]{1,32})\.([A-Za-z0-9_-]{1,2048})\.([A-Za-z0-9_-]{22})$/;

/** In the order of the payload. A change of names, types or order needs a new FORMAT. */
const receiptFields = {
  /** Unique: detects a receipt that comes twice. */
  nonce: z.string(),
  /** Unix time, ms. */
  issuedAt: z.number(),
  model: z.string(),
  version: z.int(),
  /** The decision point's step. */
  step: z.int(),
  /** The sample's pseudonym; null when the request gave it no id. */
  sample: z.string().nullable(),
  score: z.number(),
  /** The policy's name. */
  policy: z.string(),
  /** The false-drop rate that the policy allowed at this step; null when it had none. */
  alpha: z.number().nullable(),
  threshold: z.number().nullable(),
  wouldDrop: z.boolean(),
  /** A text that this version may not know, from a replica of another version. */
  override: z.string().nullable(),
  decision: z.enum(['keep', 'drop']),
  propensity: z.number(),
  lowestPropensity: z.number(),
  /** The quality from which an image counts as good, in the metric's units. */
  goodAt: z.number(),
};
const FIELD_NAMES = Object.keys(receiptFields) as (keyof typeof receiptFields)[];
const receiptSchema = z.object({
  ...receiptFields,
  /** The metric's lowest and highest value. */
  range: z.tuple([z.number(), z.number()]).readonly(),
});

export type Receipt = Readonly<z.infer<typeof receiptSchema>>;

/** Why a text is not a receipt of this service. */
export type ReceiptFault = 'malformed' | 'foreign' | 'tampered';

/** Random bytes for several hundred nonces: one system call per nonce is slow. See docs/adr/0008-random-bytes-in-blocks.md. */
const noncePool = Buffer.alloc(NONCE_BYTES * 512);
let noncePoolUsed = noncePool.length;

export function newNonce(): string {
  if (noncePoolUsed === noncePool.length) {
    randomFillSync(noncePool);
    noncePoolUsed = 0;
  }
  noncePoolUsed += NONCE_BYTES;
  return noncePool.toString('base64url', noncePoolUsed - NONCE_BYTES, noncePoolUsed);
}

export function signReceipt(keys: KeyRing, receipt: Receipt): string {
  const score = Number(receipt.score.toPrecision(SCORE_DIGITS));
  const override = WRITTEN_OVERRIDES.has(receipt.override ?? '') ? receipt.override : null;
  const fields = FIELD_NAMES.map((name) =>
    name === 'score' ? score : name === 'override' ? override : receipt[name],
  );
  const payload = JSON.stringify([FORMAT, ...fields, ...receipt.range]);
  const signed = `${keys.currentId}.${Buffer.from(payload).toString('base64url')}`;
  return `${signed}.${macText(keys.mac(signed))}`;
}

/** Verifies and reads a receipt; a fault when this service did not issue the text in this form. */
export function openReceipt(keys: KeyRing, text: string): Receipt | ReceiptFault {
  const [, id = '', payload = '', mac = ''] = RECEIPT.exec(text) ?? [];
  if (id === '') return 'malformed';
  const expected = keys.macBy(id, `${id}.${payload}`);
  if (!expected) return 'foreign';
  if (!timingSafeEqual(Buffer.from(macText(expected)), Buffer.from(mac))) return 'tampered';
  const list: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString());
  // The signature is valid, so another format can only come from a replica of another version.
  if (!Array.isArray(list) || list[0] !== FORMAT) return 'foreign';
  const values: unknown[] = list.slice(1);
  const fields = Object.fromEntries(FIELD_NAMES.map((name, index) => [name, values[index]]));
  const parsed = receiptSchema.safeParse({ ...fields, range: values.slice(FIELD_NAMES.length) });
  return parsed.success ? parsed.data : 'foreign';
}

function macText(mac: Buffer): string {
  return mac.toString('base64url', 0, MAC_BYTES);
}
