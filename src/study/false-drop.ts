/** Owns the arithmetic of the study: what the calibrated policy does to samples whose true quality is known. */
import { conformalThreshold } from '../decision/calibration.js';
import { judge } from '../decision/verdict.js';
import type { CalibrationPoint } from '../engine/manifest.js';
import { bootstrapInterval } from './bootstrap.js';
import type { JudgedCaption, JudgedSamples } from './judged-samples.js';

/** One line of the study. Shares lie in [0, 1]; null where there was nothing to take a mean of. */
export interface StudyRow {
  readonly alpha: number;
  /** The share of good samples that were dropped. */
  readonly false_drop: number | null;
  /** Of false_drop: 95%, by resampling captions. */
  readonly interval: readonly [number, number] | null;
  /** The share of all samples that were dropped. */
  readonly drop_rate: number;
  /** The share of all denoising steps that need not be taken. */
  readonly steps_saved: number;
  /** The mean quality of what was kept. */
  readonly kept_quality: number | null;
  /** The mean quality of what is kept when as many are dropped by chance: that of all samples. */
  readonly random_kept_quality: number;
}

/** Where in the sampler the question is asked, and what the probe knows there. */
export interface StudyPoint {
  readonly step: number;
  readonly totalSteps: number;
  readonly calibration: CalibrationPoint | undefined;
}

/** What became of the samples of one caption. */
interface Tally {
  readonly samples: number;
  readonly good: number;
  readonly dropped: number;
  readonly goodDropped: number;
  readonly quality: number;
  readonly keptQuality: number;
}

const ROUND_DIGITS = 4;

/** One row per alpha. */
export function studyFalseDrop(
  samples: JudgedSamples,
  point: StudyPoint,
  alphas: readonly number[],
): StudyRow[] {
  return alphas.map((alpha) => studyRow(samples, point, alpha));
}

/** The alphas for which the calibration holds too few good samples: nothing is dropped there. */
export function uncalibrated({ calibration }: StudyPoint, alphas: readonly number[]): number[] {
  return alphas.filter((alpha) => !calibration || conformalThreshold(calibration, alpha) === undefined);
}

function studyRow(
  { goodAt, captions }: JudgedSamples,
  { step, totalSteps, calibration }: StudyPoint,
  alpha: number,
): StudyRow {
  const tallies = captions.map((caption): Tally => {
    const { scores } = caption;
    const verdicts = judge({ name: 'max_false_drop', alpha }, { scores, step, calibration });
    return tally(
      caption,
      goodAt,
      verdicts.map(({ wouldDrop }) => wouldDrop),
    );
  });
  const all = sum(tallies);
  const dropRate = all.dropped / all.samples;
  const interval = bootstrapInterval(tallies, (some) => falseDropOf(sum(some)));
  return {
    alpha,
    false_drop: rounded(falseDropOf(all)),
    interval: interval && [rounded(interval[0]) ?? NaN, rounded(interval[1]) ?? NaN],
    drop_rate: rounded(dropRate) ?? NaN,
    steps_saved: rounded((dropRate * (totalSteps - step)) / totalSteps) ?? NaN,
    kept_quality: rounded(all.keptQuality / (all.samples - all.dropped)),
    random_kept_quality: rounded(all.quality / all.samples) ?? NaN,
  };
}

function tally({ quality }: JudgedCaption, goodAt: number, drops: readonly boolean[]): Tally {
  const total = (values: readonly number[]): number => values.reduce((left, right) => left + right, 0);
  return {
    samples: quality.length,
    good: quality.filter((value) => value >= goodAt).length,
    dropped: drops.filter(Boolean).length,
    goodDropped: quality.filter((value, index) => value >= goodAt && drops[index]).length,
    quality: total(quality),
    keptQuality: total(quality.filter((_, index) => !drops[index])),
  };
}

function sum(tallies: readonly Tally[]): Tally {
  const of = (name: keyof Tally): number => tallies.reduce((total, each) => total + each[name], 0);
  return {
    samples: of('samples'),
    good: of('good'),
    dropped: of('dropped'),
    goodDropped: of('goodDropped'),
    quality: of('quality'),
    keptQuality: of('keptQuality'),
  };
}

/** Not a number where there is no good sample. */
function falseDropOf({ good, goodDropped }: Tally): number {
  return goodDropped / good;
}

function rounded(value: number): number | null {
  return Number.isFinite(value) ? Number(value.toFixed(ROUND_DIGITS)) : null;
}
