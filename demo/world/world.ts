/** The reference world: its text encoder, its denoiser and its reward. */
import { CaptionError, tokenize } from './caption.js';
import type { Description } from './description.js';
import { captionText, parseCaption } from './grammar.js';
import type { Floats, Graph } from './graph.js';
import { joinRows, quantizeColour } from './images.js';
import { initialNoise, type Sha256 } from './random.js';

/** A caption and the empty caption, as inputs of the denoiser. */
export interface EncodedCaption {
  /** Token ids, the begin token first. */
  readonly ids: readonly number[];
  /** Token ids of the plain wording, which the reward reads; `ids` for a text outside the grammar. */
  readonly plainIds: readonly number[];
  /** The embedding of the caption, [tokens, textWidth]. */
  readonly text: Float32Array;
  /** The embedding of the empty caption, padded to as many tokens. */
  readonly emptyText: Float32Array;
  readonly textWidth: number;
}

/** The outputs of the denoiser. */
export interface Denoised {
  /** [rows, ...image], noise minus image. */
  readonly velocity: Float32Array;
  /** [rows, layers, tokens - 1, height, width], probabilities, without the begin token. */
  readonly attention: Float32Array;
}

/** What differs between Node and a browser. */
export interface Platform {
  /** Opens a graph by the name of its file. */
  readonly openGraph: (name: string) => Promise<Graph>;
  readonly sha256: Sha256;
}

export class World {
  readonly description: Description;
  readonly #textEncoder: Graph;
  readonly #denoiser: Graph;
  /** Opened while the first images are drawn, because only finished ones need it. */
  readonly #reward: Promise<Graph>;
  readonly #sha256: Sha256;

  private constructor(
    description: Description,
    [textEncoder, denoiser]: readonly [Graph, Graph],
    reward: Promise<Graph>,
    sha256: Sha256,
  ) {
    this.description = description;
    this.#textEncoder = textEncoder;
    this.#denoiser = denoiser;
    this.#reward = reward;
    this.#sha256 = sha256;
  }

  /** @throws {Error} when a graph cannot be opened; `opened` does for that of the reward. */
  static async open(description: Description, { openGraph, sha256 }: Platform): Promise<World> {
    const [textEncoder, denoiser] = [openGraph('text_encoder.onnx'), openGraph('backbone.onnx')];
    // An error is reported where a graph is awaited.
    denoiser.catch(() => {});
    const first = [await textEncoder, await denoiser] as const;
    const reward = openGraph('reward.onnx');
    reward.catch(() => {});
    return new World(description, first, reward, sha256);
  }

  /** Waits until every graph is open. */
  async opened(): Promise<void> {
    await this.#reward;
  }

  /** The number of values in an image. */
  get imageSize(): number {
    const [channels, height, width] = this.description.image;
    return channels * height * width;
  }

  /** The noise of a seed of a caption, an image of standard normal values. */
  initialNoise(caption: string, seed: number): Float32Array {
    return initialNoise(this.#sha256, caption, seed, this.imageSize);
  }

  /** @throws {CaptionError} */
  async encode(caption: string): Promise<EncodedCaption> {
    const ids = tokenize(caption, this.description);
    const plain = plainWording(caption);
    const plainIds = plain === undefined ? ids : tokenize(plain, this.description);
    const empty = this.#emptyCaption(ids.length);
    const { text } = await this.#textEncoder.run({
      input_ids: { data: BigInt64Array.from([...ids, ...empty], BigInt), dims: [2, ids.length] },
      text_mask: { data: this.#maskOf([ids, empty]), dims: [2, ids.length] },
    });
    const { data, dims } = requireOutput(text, 'text');
    const [captionStates, emptyText] = halves(data);
    return { ids, plainIds, text: captionStates, emptyText, textWidth: dims[2] ?? 0 };
  }

  /** Runs the denoiser once on `latents` [rows, ...image] at a timestep, with the caption and with the empty one. */
  async denoise(
    latents: Float32Array,
    timestep: number,
    caption: EncodedCaption,
  ): Promise<{ conditional: Denoised; unconditional: Denoised }> {
    const rows = latents.length / this.imageSize;
    const tokens = caption.ids.length;
    const captions = [caption.ids, this.#emptyCaption(tokens)].flatMap((ids) =>
      Array<readonly number[]>(rows).fill(ids),
    );
    const { velocity, attention } = await this.#denoiser.run({
      latents: { data: repeat(latents, 2), dims: [2 * rows, ...this.description.image] },
      timestep: { data: new Float32Array(2 * rows).fill(timestep), dims: [2 * rows] },
      text: {
        data: joinRows([repeat(caption.text, rows), repeat(caption.emptyText, rows)]),
        dims: [2 * rows, tokens, caption.textWidth],
      },
      text_mask: { data: this.#maskOf(captions), dims: [2 * rows, tokens] },
    });
    const velocities = halves(requireOutput(velocity, 'velocity').data);
    const maps = halves(requireOutput(attention, 'attention').data);
    return {
      conditional: { velocity: velocities[0], attention: maps[0] },
      unconditional: { velocity: velocities[1], attention: maps[1] },
    };
  }

  /** The true quality, in [0, 1], of images [rows, ...image] in [-1, 1] of one caption. */
  async measureQuality(images: Float32Array, { plainIds }: EncodedCaption): Promise<Float32Array> {
    const rows = images.length / this.imageSize;
    const { quality } = await (
      await this.#reward
    ).run({
      image: { data: images.map(quantizeColour), dims: [rows, ...this.description.image] },
      input_ids: {
        data: BigInt64Array.from(Array<readonly number[]>(rows).fill(plainIds).flat(), BigInt),
        dims: [rows, plainIds.length],
      },
    });
    return requireOutput(quality, 'quality').data;
  }

  async close(): Promise<void> {
    const graphs = [this.#textEncoder, this.#denoiser, await this.#reward];
    await Promise.all(graphs.map((graph) => graph.release()));
  }

  /** The begin token alone, padded. */
  #emptyCaption(tokens: number): number[] {
    const { begin_id: begin, pad_id: pad } = this.description;
    return Array.from({ length: tokens }, (_, index) => (index === 0 ? begin : pad));
  }

  /** 1 for a token, 0 for padding. */
  #maskOf(captions: readonly (readonly number[])[]): Uint8Array {
    const { pad_id: pad } = this.description;
    return Uint8Array.from(captions.flat(), (id) => (id === pad ? 0 : 1));
  }
}

function requireOutput(output: Floats | undefined, name: string): Floats {
  if (!output) throw new Error(`the graph has no output ${name}`);
  return output;
}

/** The first half of a batch has the caption, the second the empty caption. */
function halves(data: Float32Array): [Float32Array, Float32Array] {
  return [data.subarray(0, data.length / 2), data.subarray(data.length / 2)];
}

function repeat(values: Float32Array, times: number): Float32Array {
  return joinRows(Array<Float32Array>(times).fill(values));
}

/** The plain wording of a caption; undefined for a text outside the grammar, which the reward reads as it is. */
function plainWording(caption: string): string | undefined {
  try {
    return captionText(parseCaption(caption));
  } catch (error) {
    if (error instanceof CaptionError) return undefined;
    throw error;
  }
}
