/** What the page and its worker send each other. Seeds name the samples. */
import type { SampleResult } from '../../clients/typescript/src/index.js';
import type { DrawingPlan } from '../drawing/drawing-plan.js';
import type { PlanChoice } from './plan-choices.js';

/** What is drawn. */
export interface Order {
  /** Answers of earlier drawings are ignored. */
  readonly drawing: number;
  readonly caption: string;
  readonly firstSeed: number;
  /** The wish, in whole images: the nearest plan that the probe has is drawn. */
  readonly budget: number;
}

export type ToWorker = Order & { readonly type: 'draw' };

/** What holds for every drawing. */
export interface Facts {
  readonly vocabulary: readonly string[];
  readonly maxWords: number;
  readonly totalSteps: number;
  /** Pixels along one side of an image. */
  readonly side: number;
  /** Of an attention map. */
  readonly mapWidth: number;
  readonly mapHeight: number;
  readonly goodAt: number;
}

/** A request to /score and its answer, as they were sent. */
export interface Exchange {
  readonly step: number;
  readonly seeds: readonly number[];
  readonly body: ArrayBuffer;
  /** The answer, JSON; undefined when there was none. */
  readonly answer: string | undefined;
  readonly ms: number;
}

/** Images as RGBA pixels, one per seed. */
export interface Pictures {
  readonly seeds: readonly number[];
  readonly pixels: readonly Uint8ClampedArray<ArrayBuffer>[];
}

export type FromWorker =
  | { readonly type: 'opened'; readonly facts: Facts }
  /** The world cannot be opened. */
  | { readonly type: 'broken'; readonly message: string }
  | {
      readonly type: 'probe';
      /** `name@version`; undefined when no service answers. */
      readonly reference: string | undefined;
      readonly choices: readonly PlanChoice[];
    }
  | ({ readonly drawing: number } & DrawingNews);

export type DrawingNews =
  | {
      readonly type: 'started';
      readonly words: readonly string[];
      readonly plan: DrawingPlan;
      readonly noise: Pictures;
    }
  /** Some images of a step, before it is over. */
  | { readonly type: 'previewed'; readonly step: number; readonly pictures: Pictures }
  | { readonly type: 'refused'; readonly message: string }
  | {
      readonly type: 'step';
      readonly step: number;
      readonly pictures: Pictures;
      /** One per seed, [tokens, height, width]: the mean over layers. */
      readonly maps: readonly Float32Array<ArrayBuffer>[];
    }
  | {
      readonly type: 'answered';
      readonly step: number;
      readonly seeds: readonly number[];
      /** One per seed; empty when nothing was scored. */
      readonly results: readonly SampleResult[];
    }
  | { readonly type: 'exchanged'; readonly exchange: Exchange }
  | { readonly type: 'failed_open'; readonly reason: string }
  | { readonly type: 'finished'; readonly pictures: Pictures; readonly qualities: readonly number[] }
  /** What the dropped samples would have become. */
  | { readonly type: 'completed'; readonly pictures: Pictures; readonly qualities: readonly number[] }
  | { readonly type: 'completing'; readonly step: number }
  | { readonly type: 'failed'; readonly message: string };
