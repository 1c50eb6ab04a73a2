/** Writes the finished images, sheet.png and selection.json to a folder. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { Canvas } from './canvas.js';
import type { DrawnSample } from './drawing/draw-group.js';
import type { Selection } from './selection.js';
import { drawSheet, type SheetTitle } from './sheet.js';

const WHITE = [255, 255, 255] as const;

/** @param samples those of the selection, in its order. */
export async function writeSelection(
  folder: string,
  selection: Selection,
  samples: readonly DrawnSample[],
  facts: Pick<SheetTitle, 'side' | 'totalSteps'>,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const write = (name: string, content: string | Buffer): Promise<void> =>
    writeFile(path.join(folder, name), content);
  for (const [index, { image: name }] of selection.samples.entries()) {
    const image = samples[index]?.image;
    if (name !== null && image) await write(name, toPng(image, facts.side));
  }
  const columns = samples.map((sample, index) => ({
    ...sample,
    rank: selection.samples[index]?.rank ?? null,
  }));
  const steps = selection.stages.map(({ step }) => step);
  await write('sheet.png', drawSheet(columns, { caption: selection.prompt, steps, ...facts }));
  await write('selection.json', `${JSON.stringify(selection, null, 2)}\n`);
}

function toPng(image: Float32Array, side: number): Buffer {
  const canvas = new Canvas(side, side, WHITE);
  canvas.picture(0, 0, image, side, 1);
  return canvas.toPng();
}
