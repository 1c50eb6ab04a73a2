/** The operator's key files: the keys that sign receipts, and the API keys that callers must send. */
import { createHash, timingSafeEqual } from 'node:crypto';

import * as z from 'zod';

import { KeyRing, MIN_SECRET_BYTES } from '../feedback/keys.js';
import { parseSecretJsonFile } from './reloading-file.js';

const keyId = z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, 'must be 1 to 32 letters, digits, "_" or "-"');

const receiptKey = z.strictObject({
  id: keyId,
  secret: z
    .base64('must be base64')
    .transform((text) => Buffer.from(text, 'base64'))
    .refine(({ length }) => length >= MIN_SECRET_BYTES, `must hold ${MIN_SECRET_BYTES} bytes or more`),
});

const apiKey = z.strictObject({
  id: keyId,
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in lower-case hex')
    .transform((text) => Buffer.from(text, 'hex')),
});

/**
 * Reads a file of the keys that sign receipts: `{"keys": [{"id": "2026-11", "secret": "<32 bytes or more as base64>"}]}`.
 * @throws {Error} with the place and the mistake, without any part of the text.
 */
export function parseReceiptKeys(text: string): KeyRing {
  return new KeyRing(parseKeys(receiptKey, text));
}

/**
 * Reads a file of API keys: `{"keys": [{"id": "backend-a", "sha256": "<of the key, as hex>"}]}`. The keys themselves must
 * be random, because the hash of a guessable key can be reversed.
 * @throws {Error} with the place and the mistake, without any part of the text.
 */
export function parseApiKeys(text: string): ApiKeys {
  return new ApiKeys(parseKeys(apiKey, text));
}

function parseKeys<Key extends { id: string }>(key: z.ZodType<Key>, text: string): Key[] {
  const keys = z
    .array(key)
    .min(1)
    .refine((list) => new Set(list.map(({ id }) => id)).size === list.length, 'must have different ids');
  return parseSecretJsonFile(z.strictObject({ keys }), text).keys;
}

/** The API keys, known only by their hashes. */
export class ApiKeys {
  readonly #keys: readonly z.infer<typeof apiKey>[];

  constructor(keys: readonly z.infer<typeof apiKey>[]) {
    this.#keys = keys;
  }

  /** The id of a key; undefined when it is unknown. The time that the comparison takes reveals nothing about the keys. */
  ownerOf(key: string): string | undefined {
    const hash = createHash('sha256').update(key).digest();
    let owner: string | undefined;
    for (const { id, sha256 } of this.#keys) {
      if (timingSafeEqual(hash, sha256)) owner = id;
    }
    return owner;
  }
}
