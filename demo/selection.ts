/** The document selection.json: what was asked, what became of each image, and what it cost. */
import type { DrawnGroup, DrawnSample } from './drawing/draw-group.js';
import type { DrawingPlan } from './drawing/drawing-plan.js';

export interface SelectedSample {
  readonly seed: number;
  /** By step. */
  readonly scores: Readonly<Record<string, number>>;
  readonly dropped_at: number | null;
  /** The true quality of the finished image, in [0, 1]. */
  readonly quality: number | null;
  /** Among the images that were not dropped; 1 is the best. */
  readonly rank: number | null;
  /** The image's file, in the folder of this document. */
  readonly image: string | null;
}

export interface Selection {
  readonly prompt: string;
  readonly pipeline: string;
  /** In whole images; null when the plan was written out. */
  readonly budget: number | null;
  readonly plan: Pick<DrawingPlan, 'seeds' | 'keep'>;
  readonly samples: readonly SelectedSample[];
  /** `calls` and `seconds` from the start to the answer. */
  readonly stages: DrawnGroup['stages'];
  /** Denoiser calls of all images together. */
  readonly calls: number;
  /** To finish every image that was started. */
  readonly best_of_k: { readonly k: number; readonly calls: number };
  readonly seconds: number;
  readonly ranked_by: 'metric';
}

/** What holds for all images. */
export interface SelectionFacts extends Pick<Selection, 'prompt' | 'pipeline' | 'budget'> {
  readonly plan: DrawingPlan;
  readonly totalSteps: number;
}

export function selectionOf(
  { samples, stages, calls, seconds }: DrawnGroup,
  { prompt, pipeline, budget, plan: { seeds, keep }, totalSteps }: SelectionFacts,
): Selection {
  const ranked = samples
    .filter(({ droppedAt }) => droppedAt === null)
    .toSorted((left, right) => (right.quality ?? 0) - (left.quality ?? 0));
  return {
    prompt,
    pipeline,
    budget,
    plan: { seeds, keep },
    samples: samples.map((sample) => describe(sample, ranked.indexOf(sample) + 1 || null)),
    stages,
    calls,
    best_of_k: { k: seeds, calls: seeds * totalSteps },
    seconds,
    ranked_by: 'metric',
  };
}

function describe(sample: DrawnSample, rank: number | null): SelectedSample {
  const { seed, answers, droppedAt, quality = null, image } = sample;
  const scores = answers.flatMap(({ step, result }) => (result ? [[step, result.score] as const] : []));
  return {
    seed,
    scores: Object.fromEntries(scores),
    dropped_at: droppedAt,
    quality,
    rank,
    image: image ? imageName(seed, rank) : null,
  };
}

/** @param rank null for an image that was dropped. */
function imageName(seed: number, rank: number | null): string {
  return rank === null ? `dropped-seed-${seed}.png` : `rank-${rank}-seed-${seed}.png`;
}
