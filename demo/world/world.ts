/** Owns the reference world as a whole: its text encoder, its denoiser and its reward, each one call away. */
import { tokenize } from './caption.js';
import { wholeColour } from './colour.js';
import { type Description, readDescription, readVerified } from './description.js';
import { type Floats, Graph } from './graph.js';

/** A caption as the denoiser wants it, with the empty caption beside it. */
export interface EncodedCaption {
  /** With the begin token, which stands first. */
  readonly ids: readonly number[];
  /** [tokens, width] of the caption. */
  readonly text: Float32Array;
  /** [tokens, width] of the empty caption, padded to as many tokens. */
  readonly emptyText: Float32Array;
  readonly textWidth: number;
}

/** What one call of the denoiser gives. */
export interface Denoised {
  /** [rows, ...image], noise minus image. */
  readonly velocity: Float32Array;
  /** [rows, layers, tokens - 1, height, width], probabilities; the begin token is left out. */
  readonly attention: Float32Array;
}

/** The reference world, loaded. */
export class World {
  readonly description: Description;
  readonly #textEncoder: Graph;
  readonly #denoiser: Graph;
  readonly #reward: Graph;

  private constructor(description: Description, textEncoder: Graph, denoiser: Graph, reward: Graph) {
    this.description = description;
    this.#textEncoder = textEncoder;
    this.#denoiser = denoiser;
    this.#reward = reward;
  }

  /** @throws {Error} when a file is missing or is not the one that was exported. */
  static async load(folder: string): Promise<World> {
    const description = await readDescription(folder);
    const open = async (name: string): Promise<Graph> =>
      Graph.open(await readVerified(folder, name, description));
    return new World(
      description,
      await open('text_encoder.onnx'),
      await open('backbone.onnx'),
      await open('reward.onnx'),
    );
  }

  /** Values in one image. */
  get imageSize(): number {
    const [channels, height, width] = this.description.image;
    return channels * height * width;
  }

  /** @throws {CaptionError} */
  async encode(caption: string): Promise<EncodedCaption> {
    const ids = tokenize(caption, this.description);
    const empty = this.#emptyCaption(ids.length);
    const { text } = await this.#textEncoder.run({
      input_ids: { data: BigInt64Array.from([...ids, ...empty], BigInt), dims: [2, ids.length] },
      text_mask: { data: this.#maskOf([ids, empty]), dims: [2, ids.length] },
    });
    const { data, dims } = present(text, 'text');
    const [captionText, emptyText] = halves(data);
    return { ids, text: captionText, emptyText, textWidth: dims[2] ?? 0 };
  }

  /** One denoiser call on `latents` [rows, ...image], all at one timestep: with the caption, then without. */
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
      latents: { data: repeated(latents, 2), dims: [2 * rows, ...this.description.image] },
      timestep: { data: new Float32Array(2 * rows).fill(timestep), dims: [2 * rows] },
      text: {
        data: joined([repeated(caption.text, rows), repeated(caption.emptyText, rows)]),
        dims: [2 * rows, tokens, caption.textWidth],
      },
      text_mask: { data: this.#maskOf(captions), dims: [2 * rows, tokens] },
    });
    const velocities = halves(present(velocity, 'velocity').data);
    const maps = halves(present(attention, 'attention').data);
    return {
      conditional: { velocity: velocities[0], attention: maps[0] },
      unconditional: { velocity: velocities[1], attention: maps[1] },
    };
  }

  /** The true quality, in [0, 1], of finished images [rows, ...image] in [-1, 1] for one caption. */
  async judge(images: Float32Array, { ids }: EncodedCaption): Promise<Float32Array> {
    const rows = images.length / this.imageSize;
    const { quality } = await this.#reward.run({
      image: { data: images.map(wholeColour), dims: [rows, ...this.description.image] },
      input_ids: {
        data: BigInt64Array.from(Array<readonly number[]>(rows).fill(ids).flat(), BigInt),
        dims: [rows, ids.length],
      },
    });
    return present(quality, 'quality').data;
  }

  async close(): Promise<void> {
    await Promise.all([this.#textEncoder, this.#denoiser, this.#reward].map((graph) => graph.release()));
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

function present(output: Floats | undefined, name: string): Floats {
  if (!output) throw new Error(`the graph has no output ${name}`);
  return output;
}

function halves(data: Float32Array): [Float32Array, Float32Array] {
  return [data.subarray(0, data.length / 2), data.subarray(data.length / 2)];
}

function repeated(values: Float32Array, times: number): Float32Array {
  return joined(Array<Float32Array>(times).fill(values));
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const result = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let start = 0;
  for (const part of parts) {
    result.set(part, start);
    start += part.length;
  }
  return result;
}
