/** Owns what the study takes from a probe's manifest. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { parseManifest } from '../engine/manifest-reader.js';
import type { Manifest } from '../engine/manifest.js';
import type { StudyPoint } from './false-drop.js';

/** The manifest of the probe in that folder. @throws {Error} when it cannot be read. */
export async function readStudyManifest(folder: string): Promise<Manifest> {
  const file = path.join(folder, 'probe.json');
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Error(`${file} cannot be read`, { cause });
  });
  return parseManifest(text);
}

/** A decision point with what the probe knows there. */
export function studyPoint({ capture, calibration }: Manifest, step: number): StudyPoint {
  return {
    step,
    totalSteps: capture.total_steps,
    calibration: calibration.find((candidate) => candidate.step === step),
  };
}
