/**
 * Owns the memory that a worker lays its batches into. It is kept from run to run, since fresh memory would have to be
 * cleared and mapped each time, and it is WebAssembly's, so that the kernel for checks can read it where it lies.
 */
import { ATTENTION_KERNEL } from './attention-kernel.js';
import { MAX_MASS } from './check.js';

const PAGE_BYTES = 65_536;
/** The kernel looks at so many positions at once. */
const KERNEL_POSITIONS = 4;
/** Twice what rounding a sum of float32 numbers to its place may take from it, for each number, as a share. */
const ROUNDING = 2 ** -23;

type IsSurelyAttention = (at: number, maps: number, tokens: number, area: number, most: number) => number;

/** Attention of a whole batch as halves: `maps` times [tokens, area], samples and layers taken together. */
export interface HalfMaps {
  readonly byteOffset: number;
  readonly maps: number;
  readonly tokens: number;
  readonly area: number;
}

export class BatchMemory {
  readonly #memory = new WebAssembly.Memory({ initial: 1 });
  readonly #isSurelyAttention: IsSurelyAttention;

  constructor() {
    const kernel = new WebAssembly.Module(Buffer.from(ATTENTION_KERNEL, 'base64'));
    const { exports } = new WebAssembly.Instance(kernel, { batch: { memory: this.#memory } });
    this.#isSurelyAttention = exports['isSurelyAttention'] as IsSurelyAttention;
  }

  /** Makes room and gives the whole memory, whatever is in it. Views from before may be detached. */
  reserve(bytes: number): ArrayBuffer {
    const missing = bytes - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE_BYTES));
    return this.#memory.buffer;
  }

  /** True where checkAttention would find no fault; false where it has to be asked. */
  isSurelyAttention({ byteOffset, maps, tokens, area }: HalfMaps): boolean {
    if (area < KERNEL_POSITIONS) return false;
    const most = MAX_MASS * (1 - tokens * ROUNDING);
    return this.#isSurelyAttention(byteOffset, maps, tokens, area, most) === 1;
  }
}
