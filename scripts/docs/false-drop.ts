/** The tables of realised false-drop rates in docs/decisions.md, from the last line of `diffusion-probe study false-drop --json`. */
import { readFile } from 'node:fs/promises';

import * as z from 'zod';

import { markdownTable } from './markdown.js';

const STUDY = 'docs/false-drop.json';

/** Shares are in [0, 1], qualities in the units of the metric. */
const studySchema = z.object({
  rows: z.array(
    z.object({
      /** `name` or `name@version` */
      probe: z.string(),
      step: z.int(),
      alpha: z.number(),
      false_drop: z.number(),
      interval: z.tuple([z.number(), z.number()]),
      drop_rate: z.number(),
      steps_saved: z.number(),
      kept_quality: z.number(),
      random_kept_quality: z.number(),
    }),
  ),
  captions: z.int(),
  samples: z.int(),
  good_share: z.number(),
});

const HEAD = [
  'alpha',
  'good dropped',
  '95% interval',
  'all dropped',
  'steps saved',
  'quality kept',
  'at random',
];

/** A table for each probe and step. */
export async function falseDropTables(): Promise<string> {
  const {
    rows,
    captions,
    samples,
    good_share: goodShare,
  } = studySchema.parse(JSON.parse(await readFile(STUDY, 'utf8')));
  const places = new Map(rows.map(({ probe, step }) => [`${probe} ${step}`, { probe, step }]));
  const tables = [...places.values()].map(({ probe, step }) => {
    const cells = rows
      .filter((row) => row.probe === probe && row.step === step)
      .map(({ interval: [low, high], ...row }) => [
        percent(row.alpha, 0),
        percent(row.false_drop),
        `${percent(low)} to ${percent(high)}`,
        percent(row.drop_rate),
        percent(row.steps_saved),
        row.kept_quality.toFixed(3),
        row.random_kept_quality.toFixed(3),
      ]);
    return `\`${probe}\` at step ${step}:\n\n${markdownTable(HEAD, cells)}`;
  });
  const about = `${samples} samples of ${captions} captions on which the probe was neither trained nor calibrated; ${percent(goodShare)} are good.`;
  return [about, ...tables].join('\n\n');
}

function percent(share: number, digits = 1): string {
  return `${(share * 100).toFixed(digits)}%`;
}
