/** Owns the keys that sign receipts: shared by all replicas through a file, or made up by a process for itself. */
import { createHmac, randomBytes } from 'node:crypto';

import * as z from 'zod';

import { parseStrictJson } from '../wire/strict-json.js';

const MIN_SECRET_BYTES = 32;

const keysFileSchema = z.strictObject({
  keys: z
    .array(
      z.strictObject({
        id: z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, 'must be 1 to 32 letters, digits, "_" or "-"'),
        secret: z
          .base64('must be base64')
          .transform((text) => Buffer.from(text, 'base64'))
          .refine(({ length }) => length >= MIN_SECRET_BYTES, `must hold ${MIN_SECRET_BYTES} bytes or more`),
      }),
    )
    .min(1)
    .refine((keys) => new Set(keys.map(({ id }) => id)).size === keys.length, 'must have different ids'),
});

interface Key {
  readonly id: string;
  readonly secret: Buffer;
}

/** Signs with its first key and knows all of them, so that keys can be changed while receipts are out. */
export class KeyRing {
  readonly #current: Key;
  readonly #secrets: ReadonlyMap<string, Buffer>;

  /** @param keys the first one signs; at least one. */
  constructor(keys: readonly Key[]) {
    const [current] = keys;
    if (!current) throw new RangeError('a key ring needs a key');
    this.#current = current;
    this.#secrets = new Map(keys.map(({ id, secret }) => [id, secret]));
  }

  /** The id of the key that signs now. */
  get currentId(): string {
    return this.#current.id;
  }

  /** HMAC-SHA-256 by the key that signs now. */
  mac(text: string): Buffer {
    return hmac(this.#current.secret, text);
  }

  /** HMAC-SHA-256 by the key of this id; undefined when it is not on the ring. */
  macBy(id: string, text: string): Buffer | undefined {
    const secret = this.#secrets.get(id);
    return secret && hmac(secret, text);
  }
}

/**
 * Reads the text of a keys file: `{"keys": [{"id": "2026-11", "secret": "<32 bytes or more as base64>"}]}`.
 * @throws {Error} that says what is wrong, and shows no secret.
 */
export function parseKeys(text: string): KeyRing {
  const parsed = keysFileSchema.safeParse(parseStrictJson(text));
  if (parsed.success) return new KeyRing(parsed.data.keys);
  const [issue] = parsed.error.issues;
  throw new Error(`${issue?.path.join('.') || 'the file'}: ${issue?.message}`);
}

/** A ring that no other process has. */
export function randomKeys(): KeyRing {
  return new KeyRing([
    { id: `own-${randomBytes(6).toString('base64url')}`, secret: randomBytes(MIN_SECRET_BYTES) },
  ]);
}

function hmac(secret: Buffer, text: string): Buffer {
  return createHmac('sha256', secret).update(text).digest();
}
