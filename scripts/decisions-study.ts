/** Owns the tables in docs/decisions.md of what the calibrated policy does to the test captions. */
import { existsSync } from 'node:fs';

import { studyFalseDrop, uncalibrated } from '../src/study/false-drop.js';
import { readTestScores } from '../src/study/judged-samples.js';
import { readStudyManifest, studyPoint } from '../src/study/study-point.js';
import { markdownTable, sampleText, uncalibratedText } from '../src/study/table.js';
import { withMarked } from './marked-text.js';

const PROBE = 'models/pictogram/1';
const SCORES = `${PROBE}/test-scores.json`;
const STEPS = [5, 10];
const ALPHAS = [0.01, 0.02, 0.05, 0.1, 0.2];

/** The text with its tables made anew; without any while the probe has no test scores. */
export async function withStudy(text: string): Promise<string> {
  return withMarked(text, 'study', existsSync(SCORES) ? await studyTables() : '');
}

async function studyTables(): Promise<string> {
  const [manifest, scores] = [await readStudyManifest(PROBE), await readTestScores(SCORES)];
  const parts = STEPS.flatMap((step) => {
    const [samples, point] = [scores.at(step), studyPoint(manifest, step)];
    return [
      `${sampleText(manifest, samples, step)}:`,
      markdownTable(studyFalseDrop(samples, point, ALPHAS)),
      uncalibratedText(uncalibrated(point, ALPHAS), point.calibration?.good_scores.length ?? 0),
    ];
  });
  return parts.filter(Boolean).join('\n\n');
}
