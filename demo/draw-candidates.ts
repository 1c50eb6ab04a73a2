/** Denoises the candidates of a caption together, has them scored at one step, and finishes those that are kept. */
import { ProbeClient, type SampleResult, type ScoreFailure } from '../clients/typescript/src/index.js';
import type { ServedProbe } from './find-probe.js';
import type { GenerateOptions } from './generate-options.js';
import { createGroup, type Group, scoreGroup, startSampler } from './group.js';
import type { OnStep } from './progress.js';
import { CaptureMismatch } from './world/capture.js';
import { rowsOf } from './world/images.js';
import type { Step } from './world/sampler.js';
import type { World } from './world/world.js';

/** Long, because nothing else happens between two steps. */
const DEADLINE_MS = 5000;

/** Score, percentile and rank are missing when nothing was scored. */
type CandidateDecision = Pick<SampleResult, 'decision' | 'reason'> &
  Partial<Pick<SampleResult, 'score' | 'percentile' | 'rank'>>;

export interface Candidate extends CandidateDecision {
  readonly seed: number;
  /** The image expected at the scored step, [3, side, side] in [-1, 1]. */
  readonly preview: Float32Array;
  /** The finished image; undefined when it was not finished. */
  readonly image?: Float32Array;
  /** The true quality of the finished image, in [0, 1]. */
  readonly quality?: number;
}

export interface DrawOptions extends GenerateOptions {
  readonly world: World;
  /** When undefined, every candidate is kept. */
  readonly probe: ServedProbe | undefined;
  /** Ends the drawing between two steps. */
  readonly signal: AbortSignal;
  readonly onStep: OnStep;
  /** Called with the reason when nothing could be scored. */
  readonly onFailedOpen: (reason: string) => void;
}

/** @throws the signal's reason when it aborts. */
export async function drawCandidates(options: DrawOptions): Promise<Candidate[]> {
  const { world, signal, onStep, caption, seeds, seedBase, all } = options;
  const group = await createGroup(
    world,
    caption,
    Array.from({ length: seeds }, (_, index) => seedBase + index),
  );
  const sampler = startSampler(group);
  let candidates: Candidate[] = [];
  let finished: number[] = [];
  while (!sampler.isFinished) {
    const { rows } = sampler;
    const step = await sampler.next();
    signal.throwIfAborted();
    onStep(step.step, world.description.steps, rows);
    if (step.step !== options.step) continue;
    const decisions = await decide(options, group, step);
    candidates = group.seeds.map((seed, index) => {
      const preview = rowsOf(step.preview, [index], world.imageSize);
      return { ...(decisions?.[index] ?? { decision: 'keep', reason: 'failed_open' }), seed, preview };
    });
    finished = [...candidates.keys()].filter((index) => all || candidates[index]?.decision === 'keep');
    sampler.keep(finished);
  }
  const { images } = sampler;
  const qualities = await world.measureQuality(images, group.encoded);
  return candidates.map((candidate, index) => {
    const row = finished.indexOf(index);
    if (row === -1) return candidate;
    const image = rowsOf(images, [row], world.imageSize);
    return { ...candidate, image, quality: qualities[row] ?? NaN };
  });
}

/** One decision per candidate; undefined when the service gives none. */
async function decide(
  { probe, keep, onFailedOpen }: DrawOptions,
  group: Group,
  step: Step,
): Promise<readonly CandidateDecision[] | undefined> {
  if (!probe) return undefined;
  const client = new ProbeClient(probe.url, { deadlineMs: DEADLINE_MS });
  try {
    const policy = { name: 'top_k', k: keep, explore: { rate: 0 } } as const;
    const answer = await scoreGroup(client, probe, group, step, policy);
    if (answer.outcome === 'scored') return answer.results;
    onFailedOpen(failureText(answer));
  } catch (error) {
    if (!(error instanceof CaptureMismatch)) throw error;
    onFailedOpen(error.message);
  } finally {
    await client.close();
  }
  return undefined;
}

function failureText({ reason, problem, error }: ScoreFailure): string {
  const detail = problem?.detail ?? error?.message;
  return detail === undefined ? reason : `${reason}: ${detail}`;
}
