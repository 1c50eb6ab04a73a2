/**
 * Keeps the memory of requests' bodies for later ones. It is shared memory, so workers read a body where it was received.
 * Reuse saves a page fault per 4 KiB of fresh memory. See docs/adr/0005-reuse-the-memory-of-bodies.md.
 */

/** Free memory by length: the bodies of one backbone have few different lengths. */
export class BodyMemory {
  readonly #maxFreeBytes: number;
  /** By length in bytes; the length that was used last is the last key. */
  readonly #free = new Map<number, SharedArrayBuffer[]>();
  #freeBytes = 0;

  /** @param maxFreeBytes the most bytes that are kept. */
  constructor(maxFreeBytes: number) {
    this.#maxFreeBytes = maxFreeBytes;
  }

  /** Memory of exactly this many bytes; it may hold old content. */
  take(length: number): SharedArrayBuffer {
    const sameLength = this.#free.get(length);
    const memory = sameLength?.pop();
    if (!memory) return new SharedArrayBuffer(length);
    if (sameLength?.length === 0) this.#free.delete(length);
    this.#freeBytes -= length;
    return memory;
  }

  /** Takes back memory that is not read or written any more. Memory that is never given back is garbage-collected. */
  give(memory: SharedArrayBuffer): void {
    const length = memory.byteLength;
    const sameLength = this.#free.get(length) ?? [];
    sameLength.push(memory);
    this.#free.delete(length);
    this.#free.set(length, sameLength);
    this.#freeBytes += length;
    while (this.#freeBytes > this.#maxFreeBytes) {
      const [leastRecentLength = 0] = this.#free.keys();
      this.take(leastRecentLength);
    }
  }
}

/** The same bytes in shared memory. */
export function sharedCopy(bytes: Uint8Array): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(bytes.byteLength);
  new Uint8Array(memory).set(bytes);
  return memory;
}
