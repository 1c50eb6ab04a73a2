/** The presets of the page: their file, and the plan that they are chosen for. */
import { readFile, writeFile } from 'node:fs/promises';

import { nearestChoice, type PlanChoice } from './page/plan-choices.js';

export const PRESETS_FILE = 'demo/page/presets.json';
/** The preset whose gain is the median one. */
export const MEDIAN = 'The median';
/** In whole images. */
export const PRESET_BUDGET = 3;

export interface Presets {
  readonly rule: string;
  /** `name@version` of the probe that the captions were chosen with. */
  readonly probe: string;
  /** In words. */
  readonly plan: string;
  readonly presets: readonly {
    readonly name: string;
    readonly caption: string;
    readonly firstSeed: number;
  }[];
}

/** Of a probe's plans the one for which presets are chosen. */
export function presetPlan(choices: readonly PlanChoice[]): PlanChoice {
  return nearestChoice(choices, PRESET_BUDGET)!;
}

export async function readPresets(): Promise<Presets> {
  return JSON.parse(await readFile(PRESETS_FILE, 'utf8')) as Presets;
}

export async function writePresets(presets: Presets): Promise<void> {
  await writeFile(PRESETS_FILE, `${JSON.stringify(presets, null, 2)}\n`);
}
