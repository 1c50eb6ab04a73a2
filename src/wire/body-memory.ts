/**
 * Keeps the memory of requests' bodies for later ones. It is shared memory, so workers read a body where it was received.
 * Reuse saves a page fault per 4 KiB of fresh memory. See docs/adr/0005-reuse-the-memory-of-bodies.md.
 * After an overload the memory goes back to the system. See docs/adr/0022-return-the-memory-of-bodies.md.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Memory of this size and more comes from the system directly and not from the C library, which would keep it. */
const MIN_MAPPED_BYTES = 131_072;
/** This much fresh memory may become garbage before it is collected. */
const MAX_GARBAGE_BYTES = 268_435_456;
/** In quiet times less garbage is collected, and less memory is kept. */
const MAX_QUIET_GARBAGE_BYTES = 33_554_432;
const MAX_QUIET_FREE_BYTES = 8_388_608;
/** Quiet is when at most so many bodies came in one interval. */
const QUIET_BODIES = 5;
const QUIET_INTERVAL_MS = 1000;

/** V8 maps the memory of a growable buffer. TypeScript declares it from ES2024 on, of which Node 20 has a part. */
const GrowableMemory = SharedArrayBuffer as unknown as new (
  length: number,
  options: { readonly maxByteLength: number },
) => SharedArrayBuffer;

/** Free memory by length: the bodies of one backbone have few different lengths. */
export class BodyMemory {
  readonly #maxFreeBytes: number;
  readonly #collect: () => void;
  /** By length in bytes; the length that was used last is the last key. */
  readonly #free = new Map<number, SharedArrayBuffer[]>();
  #freeBytes = 0;
  /** Fresh memory since the last collection; what is not free and not in use of it is garbage. */
  #freshBytes = 0;
  #bodies = 0;
  #quietTimer: NodeJS.Timeout | undefined;

  /** @param maxFreeBytes the most bytes that are kept. @param collect collects garbage; only tests set it. */
  constructor(maxFreeBytes: number, collect: () => void = collectGarbage) {
    this.#maxFreeBytes = maxFreeBytes;
    this.#collect = collect;
  }

  /** Memory of exactly this many bytes; it may hold old content. */
  take(length: number): SharedArrayBuffer {
    this.#bodies += 1;
    return this.#takeFree(length) ?? this.#allocate(length);
  }

  /** Takes back memory that is not read or written any more. Memory that is never given back is garbage-collected. */
  give(memory: SharedArrayBuffer): void {
    const length = memory.byteLength;
    const sameLength = this.#free.get(length) ?? [];
    sameLength.push(memory);
    this.#free.delete(length);
    this.#free.set(length, sameLength);
    this.#freeBytes += length;
    this.#shrink(this.#maxFreeBytes);
  }

  #takeFree(length: number): SharedArrayBuffer | undefined {
    const sameLength = this.#free.get(length);
    const memory = sameLength?.pop();
    if (!memory) return undefined;
    if (sameLength?.length === 0) this.#free.delete(length);
    this.#freeBytes -= length;
    return memory;
  }

  /** V8 does not count shared memory, so a lot of it would never start a collection. */
  #allocate(length: number): SharedArrayBuffer {
    this.#freshBytes += length;
    if (this.#freshBytes > MAX_GARBAGE_BYTES) this.#collectAll();
    if (this.#freshBytes > MAX_QUIET_GARBAGE_BYTES && !this.#quietTimer) this.#awaitQuiet();
    return length < MIN_MAPPED_BYTES
      ? new SharedArrayBuffer(length)
      : new GrowableMemory(length, { maxByteLength: length });
  }

  /** Waits for an interval in which few bodies come, then frees what can be freed. */
  #awaitQuiet(): void {
    const before = this.#bodies;
    this.#quietTimer = setTimeout(() => {
      if (this.#bodies - before > QUIET_BODIES) return this.#awaitQuiet();
      this.#quietTimer = undefined;
      this.#shrink(MAX_QUIET_FREE_BYTES);
      this.#collectAll();
    }, QUIET_INTERVAL_MS);
    this.#quietTimer.unref();
  }

  #collectAll(): void {
    this.#freshBytes = 0;
    this.#collect();
  }

  #shrink(maxBytes: number): void {
    while (this.#freeBytes > maxBytes) {
      const [leastRecentLength = 0] = this.#free.keys();
      this.#takeFree(leastRecentLength);
    }
  }
}

/** V8 offers its garbage collector only to a context that is made after this flag is set. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/** The same bytes in shared memory. */
export function sharedCopy(bytes: Uint8Array): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(bytes.byteLength);
  new Uint8Array(memory).set(bytes);
  return memory;
}
