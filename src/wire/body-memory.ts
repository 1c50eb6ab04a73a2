/**
 * Owns the memory that requests' bodies lie in. Event loop and workers share it, so a body moves nowhere; and it is used
 * again and again, since fresh memory costs a page fault per 4 KiB, and memory of V8's own would set off its garbage
 * collector every few hundred requests.
 */

/** Memory of a body that has been answered; bodies of one backbone have few different lengths. */
export class BodyMemory {
  readonly #maxFreeBytes: number;
  /** By length in bytes. A map keeps the order in which lengths came up. */
  readonly #free = new Map<number, SharedArrayBuffer[]>();
  #freeBytes = 0;

  /** @param maxFreeBytes kept for later at most. */
  constructor(maxFreeBytes: number) {
    this.#maxFreeBytes = maxFreeBytes;
  }

  /** Memory of exactly so many bytes, holding anything. */
  take(length: number): SharedArrayBuffer {
    const alike = this.#free.get(length);
    const known = alike?.pop();
    if (!known) return new SharedArrayBuffer(length);
    if (alike?.length === 0) this.#free.delete(length);
    this.#freeBytes -= length;
    return known;
  }

  /** Takes memory back that nobody reads or writes any more. What is never given back is collected as garbage. */
  give(memory: SharedArrayBuffer): void {
    const length = memory.byteLength;
    this.#freeBytes += length;
    const alike = this.#free.get(length) ?? [];
    alike.push(memory);
    // The length that was used last goes to the end: the others are let go first.
    this.#free.delete(length);
    this.#free.set(length, alike);
    while (this.#freeBytes > this.#maxFreeBytes) this.#letGo();
  }

  #letGo(): void {
    const [length = 0] = this.#free.keys();
    this.take(length);
  }
}

/** The same bytes in memory that workers can be shown. */
export function sharedCopy(bytes: Uint8Array): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(bytes.byteLength);
  new Uint8Array(memory).set(bytes);
  return memory;
}
