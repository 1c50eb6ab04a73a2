/** Owns the keys that callers show: known by their hashes alone, and compared without telling by time how much was right. */
import { createHash, timingSafeEqual } from 'node:crypto';

import * as z from 'zod';

import { parseStrictJson } from '../wire/strict-json.js';

const fileSchema = z.strictObject({
  keys: z
    .array(
      z.strictObject({
        id: z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, 'must be 1 to 32 letters, digits, "_" or "-"'),
        sha256: z
          .string()
          .regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in lower-case hex')
          .transform((text) => Buffer.from(text, 'hex')),
      }),
    )
    .min(1)
    .refine((keys) => new Set(keys.map(({ id }) => id)).size === keys.length, 'must have different ids'),
});

interface HashedKey {
  readonly id: string;
  readonly sha256: Buffer;
}

export class ApiKeys {
  readonly #keys: readonly HashedKey[];

  constructor(keys: readonly HashedKey[]) {
    this.#keys = keys;
  }

  /** Whose key this is; undefined when it is nobody's. All keys are compared, whichever fits. */
  ownerOf(key: string): string | undefined {
    const hash = createHash('sha256').update(key).digest();
    let owner: string | undefined;
    for (const { id, sha256 } of this.#keys) {
      if (timingSafeEqual(hash, sha256)) owner = id;
    }
    return owner;
  }
}

/**
 * Reads the text of an API keys file: `{"keys": [{"id": "backend-a", "sha256": "<of the key, as hex>"}]}`. The keys
 * themselves must be random: a hash hides no password.
 * @throws {Error} that says what is wrong.
 */
export function parseApiKeys(text: string): ApiKeys {
  const parsed = fileSchema.safeParse(parseStrictJson(text));
  if (parsed.success) return new ApiKeys(parsed.data.keys);
  const [issue] = parsed.error.issues;
  throw new Error(`${issue?.path.join('.') || 'the file'}: ${issue?.message}`);
}
