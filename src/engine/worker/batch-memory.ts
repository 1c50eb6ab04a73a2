/**
 * The memory that a worker assembles its batches in. It is kept from run to run, since fresh memory would have to be
 * cleared and mapped each time, and it belongs to WebAssembly, so that the attention check can read it in place.
 * See docs/adr/0003-attention-check-kernel.md.
 */
import { MAX_MASS } from '../../probe/check-values.js';
import { ATTENTION_KERNEL } from './attention-kernel.js';

type IsSurelyAttention = (at: number, maps: number, tokens: number, area: number, most: number) => number;

/** The used members of WebAssembly, which TypeScript declares only in its library for browsers. */
declare const WebAssembly: {
  Memory: new (size: { initial: number }) => { buffer: ArrayBuffer; grow(pages: number): number };
  Module: new (code: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: { isSurelyAttention: IsSurelyAttention } };
};

const PAGE_BYTES = 65_536;
/** The kernel reads this many positions at once and cannot check smaller maps. */
const KERNEL_POSITIONS = 4;
/** The kernel sums in float32. Each addition loses at most half of this share of the sum to rounding. */
const ROUNDING = 2 ** -23;

export class BatchMemory {
  readonly #memory = new WebAssembly.Memory({ initial: 1 });
  readonly #isSurelyAttention: IsSurelyAttention;

  constructor() {
    const kernel = new WebAssembly.Module(Buffer.from(ATTENTION_KERNEL, 'base64'));
    const { exports } = new WebAssembly.Instance(kernel, { batch: { memory: this.#memory } });
    this.#isSurelyAttention = exports.isSurelyAttention;
  }

  /** Grows the memory if needed and returns all of it, with its old contents. Earlier views may be detached. */
  reserve(bytes: number): ArrayBuffer {
    const missing = bytes - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE_BYTES));
    return this.#memory.buffer;
  }

  /**
   * Checks the F16 attention of a whole batch, [samples, layers, tokens, height, width], which lies at byteOffset.
   * True only where checkAttention would find no fault; false where checkAttention must decide.
   */
  isSurelyAttention(byteOffset: number, dims: readonly number[]): boolean {
    const [samples = 0, layers = 0, tokens = 0, height = 0, width = 0] = dims;
    const area = height * width;
    if (area < KERNEL_POSITIONS) return false;
    const most = MAX_MASS * (1 - tokens * ROUNDING);
    return this.#isSurelyAttention(byteOffset, samples * layers, tokens, area, most) === 1;
  }
}
