/** Owns the memory of which receipts have come already: the latest ones, as many as fit. */

export class RecentNonces {
  readonly #capacity: number;
  readonly #nonces = new Set<string>();

  /** @param capacity nonces remembered at most. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  has(nonce: string): boolean {
    return this.#nonces.has(nonce);
  }

  /** Remembers a nonce; beyond the capacity the oldest is forgotten. */
  add(nonce: string): void {
    this.#nonces.add(nonce);
    if (this.#nonces.size <= this.#capacity) return;
    // A set lists its members in the order in which they came.
    const [oldest = nonce] = this.#nonces;
    this.#nonces.delete(oldest);
  }
}
