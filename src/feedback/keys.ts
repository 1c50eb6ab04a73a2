/** Owns the keys that sign receipts: shared by all replicas through a file, or made up by a process for itself. */
import { createHmac, randomBytes } from 'node:crypto';

/** The shortest secret that a key may have. */
export const MIN_SECRET_BYTES = 32;

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

/** A ring that no other process has. */
export function randomKeys(): KeyRing {
  return new KeyRing([
    { id: `own-${randomBytes(6).toString('base64url')}`, secret: randomBytes(MIN_SECRET_BYTES) },
  ]);
}

function hmac(secret: Buffer, text: string): Buffer {
  return createHmac('sha256', secret).update(text).digest();
}
