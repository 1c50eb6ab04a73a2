/**
 * Owns receipts: what a decision was and how it came about, signed, so that the service need not remember it.
 * Callers pass them back unread. `<key id>.<payload>.<HMAC-SHA-256 of both, 16 bytes>`, the latter two as base64url;
 * the payload is a JSON list, its first element the version of this format.
 */
import { timingSafeEqual } from 'node:crypto';

import * as z from 'zod';

import { OVERRIDES, type SampleDecision } from '../decision/decide.js';
import type { KeyRing } from './keys.js';
import { freshBytes } from './random-bytes.js';

const FORMAT = 1;
const NONCE_BYTES = 9;
const MAC_BYTES = 16;
/** A float32 has no more to tell. */
const SCORE_DIGITS = 8;
const RECEIPT = /^([A-Za-z0-9_-]{1,32})\.([A-Za-z0-9_-]{1,2048})\.([A-Za-z0-9_-]{22})$/;

const payloadSchema = z.tuple([
  z.literal(FORMAT),
  z.string(),
  z.number(),
  z.string(),
  z.int(),
  z.int(),
  z.string().nullable(),
  z.number(),
  z.string(),
  z.number().nullable(),
  z.number().nullable(),
  z.boolean(),
  z.enum(OVERRIDES).nullable(),
  z.enum(['keep', 'drop']),
  z.number(),
  z.number(),
  z.number(),
  z.number(),
  z.number(),
]);

/** What a receipt says. */
export interface Receipt extends Omit<SampleDecision, 'reason'> {
  /** Made once: tells a receipt that comes twice. */
  readonly nonce: string;
  /** Unix time, ms. */
  readonly issuedAt: number;
  readonly model: string;
  readonly version: number;
  /** The decision point's step. */
  readonly step: number;
  /** Tells the sample from others; null where the request gave it no id. */
  readonly sample: string | null;
  readonly score: number;
  /** The policy's name. */
  readonly policy: string;
  /** The false-drop rate that the policy allowed at this step; null where it promised none. */
  readonly alpha: number | null;
  /** The quality from which an image counts as good, in the metric's units. */
  readonly goodAt: number;
  /** The metric's lowest and highest value. */
  readonly range: readonly [number, number];
}

/** Why a text is no receipt of ours. */
export type ReceiptFault = 'malformed' | 'foreign' | 'tampered';

export function newNonce(): string {
  return freshBytes(NONCE_BYTES).toString('base64url');
}

/** Writes and signs a receipt. */
export function signReceipt(keys: KeyRing, receipt: Receipt): string {
  const payload: z.input<typeof payloadSchema> = [
    FORMAT,
    receipt.nonce,
    receipt.issuedAt,
    receipt.model,
    receipt.version,
    receipt.step,
    receipt.sample,
    Number(receipt.score.toPrecision(SCORE_DIGITS)),
    receipt.policy,
    receipt.alpha,
    receipt.threshold,
    receipt.wouldDrop,
    receipt.override,
    receipt.decision,
    receipt.propensity,
    receipt.survival,
    receipt.goodAt,
    ...receipt.range,
  ];
  const signed = `${keys.currentId}.${Buffer.from(JSON.stringify(payload)).toString('base64url')}`;
  return `${signed}.${macText(keys.mac(signed))}`;
}

/** Checks and reads a receipt; a fault when it is not one of ours as it was given out. */
export function openReceipt(keys: KeyRing, text: string): Receipt | ReceiptFault {
  const [, id = '', payload = '', mac = ''] = RECEIPT.exec(text) ?? [];
  if (id === '') return 'malformed';
  const expected = keys.macBy(id, `${id}.${payload}`);
  if (!expected) return 'foreign';
  if (!timingSafeEqual(Buffer.from(macText(expected)), Buffer.from(mac))) return 'tampered';
  // Signed by us, so only a replica of another version can have written something else.
  const parsed = payloadSchema.safeParse(JSON.parse(Buffer.from(payload, 'base64url').toString()));
  return parsed.success ? fromPayload(parsed.data) : 'foreign';
}

function macText(mac: Buffer): string {
  return mac.toString('base64url', 0, MAC_BYTES);
}

function fromPayload(payload: z.output<typeof payloadSchema>): Receipt {
  const [, nonce, issuedAt, model, version, step, sample, score, policy, alpha, threshold, ...rest] = payload;
  const [wouldDrop, override, decision, propensity, survival, goodAt, low, high] = rest;
  return {
    nonce,
    issuedAt,
    model,
    version,
    step,
    sample,
    score,
    policy,
    alpha,
    threshold,
    wouldDrop,
    override,
    decision,
    propensity,
    survival,
    goodAt,
    range: [low, high],
  };
}
