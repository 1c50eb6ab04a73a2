/** The state of the page: what the worker has told so far. Pure, so that it is tested without a browser. */
import type { SampleResult } from '../../../clients/typescript/src/index.js';
import type { DrawingPlan } from '../../drawing/drawing-plan.js';
import type { Exchange, Facts, FromWorker, Order, Pictures } from '../messages.js';
import type { PlanChoice } from '../plan-choices.js';

export type Pixels = Uint8ClampedArray<ArrayBuffer>;

/** What is known of one sample. */
export interface Candidate {
  readonly seed: number;
  /** The noise, the latest preview, or the finished image. */
  readonly pixels: Pixels;
  /** The last step that it took; 0 for the noise. */
  readonly step: number;
  /** [tokens, height, width] of that step. */
  readonly maps: Float32Array<ArrayBuffer> | undefined;
  readonly answers: readonly { readonly step: number; readonly result: SampleResult }[];
  readonly droppedAt: number | undefined;
  readonly quality: number | undefined;
  /** What a dropped sample would have become. */
  readonly completed: { readonly pixels: Pixels; readonly quality: number } | undefined;
}

export interface Drawing {
  readonly order: Order;
  readonly words: readonly string[];
  readonly plan: DrawingPlan | undefined;
  /** In the order of the seeds. */
  readonly candidates: readonly Candidate[];
  /** How many samples each step so far denoised. */
  readonly alive: readonly number[];
  readonly exchanges: readonly Exchange[];
  /** Why something could not be scored. */
  readonly failedOpen: string | undefined;
  readonly refused: string | undefined;
  readonly phase: 'waiting' | 'drawing' | 'completing' | 'done' | 'refused' | 'failed';
  /** The step of the dropped samples while they are finished too. */
  readonly completingStep: number;
}

export interface State {
  readonly facts: Facts | undefined;
  /** Why the reference world cannot be opened. */
  readonly broken: string | undefined;
  readonly probe: string | undefined;
  readonly choices: readonly PlanChoice[];
  readonly drawing: Drawing | undefined;
}

export const START: State = {
  facts: undefined,
  broken: undefined,
  probe: undefined,
  choices: [],
  drawing: undefined,
};

export type Action = FromWorker | { readonly type: 'ordered'; readonly order: Order };

export function reduce(state: State, action: Action): State {
  switch (action.type) {
    case 'ordered':
      return { ...state, drawing: newDrawing(action.order, state.drawing) };
    case 'opened':
      return { ...state, facts: action.facts };
    case 'broken':
      return { ...state, broken: action.message };
    case 'probe':
      return { ...state, probe: action.reference, choices: action.choices };
    default: {
      const { drawing } = state;
      if (drawing?.order.drawing !== action.drawing) return state;
      return { ...state, drawing: advance(drawing, action) };
    }
  }
}

/** The pictures of the drawing before stay until the first of the new one. */
function newDrawing(order: Order, before: Drawing | undefined): Drawing {
  return {
    order,
    words: before?.words ?? [],
    plan: before?.plan,
    candidates: before?.candidates ?? [],
    alive: [],
    exchanges: [],
    failedOpen: undefined,
    refused: undefined,
    phase: 'waiting',
    completingStep: 0,
  };
}

function advance(drawing: Drawing, news: Extract<FromWorker, { drawing: number }>): Drawing {
  switch (news.type) {
    case 'started': {
      const candidates = news.noise.seeds.map((seed, index) => newCandidate(seed, news.noise.pixels[index]!));
      return { ...drawing, phase: 'drawing', words: news.words, plan: news.plan, candidates };
    }
    case 'previewed': {
      const { step, pictures } = news;
      const candidates = change(drawing, pictures, (index) => ({ pixels: pictures.pixels[index]!, step }));
      return { ...drawing, candidates };
    }
    case 'step': {
      const { step, pictures, maps } = news;
      const alive = [...drawing.alive, pictures.seeds.length];
      const candidates = change(drawing, pictures, (index) => ({
        pixels: pictures.pixels[index]!,
        maps: maps[index],
        step,
      }));
      return { ...drawing, alive, candidates };
    }
    case 'answered':
      return { ...drawing, candidates: drawing.candidates.map((one) => answered(one, news)) };
    case 'exchanged':
      return { ...drawing, exchanges: [...drawing.exchanges, news.exchange] };
    case 'failed_open':
      return { ...drawing, failedOpen: news.reason };
    case 'finished': {
      const { pictures, qualities } = news;
      const candidates = change(drawing, pictures, (index) => ({
        pixels: pictures.pixels[index]!,
        quality: qualities[index],
      }));
      return { ...drawing, phase: 'completing', candidates };
    }
    case 'completing':
      return { ...drawing, completingStep: news.step };
    case 'completed': {
      const { pictures, qualities } = news;
      const candidates = change(drawing, pictures, (index) => ({
        completed: { pixels: pictures.pixels[index]!, quality: qualities[index]! },
      }));
      return { ...drawing, phase: 'done', candidates };
    }
    case 'refused':
    case 'failed':
      return { ...drawing, phase: news.type, refused: news.message };
  }
}

function newCandidate(seed: number, pixels: Pixels): Candidate {
  return {
    seed,
    pixels,
    step: 0,
    maps: undefined,
    answers: [],
    droppedAt: undefined,
    quality: undefined,
    completed: undefined,
  };
}

/** Changes the candidates whose pictures these are. */
function change(
  { candidates }: Drawing,
  { seeds }: Pictures,
  changes: (index: number) => Partial<Candidate>,
): Candidate[] {
  return candidates.map((candidate) => {
    const index = seeds.indexOf(candidate.seed);
    return index === -1 ? candidate : { ...candidate, ...changes(index) };
  });
}

function answered(
  candidate: Candidate,
  { step, seeds, results }: Extract<FromWorker, { type: 'answered' }>,
): Candidate {
  const result = results[seeds.indexOf(candidate.seed)];
  if (!result) return candidate;
  const answers = [...candidate.answers, { step, result }];
  return { ...candidate, answers, droppedAt: result.decision === 'drop' ? step : candidate.droppedAt };
}
