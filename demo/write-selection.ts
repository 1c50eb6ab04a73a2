/** Writes the finished images, sheet.png and selection.json to a folder. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { DrawnSample } from './drawing/draw-group.js';
import type { GridFacts } from './pictures/grid.js';
import { toPng } from './pictures/image.js';
import { drawSheet } from './pictures/sheet.js';
import type { Selection } from './selection.js';

/** @param samples those of the selection, in its order. */
export async function writeSelection(
  folder: string,
  selection: Selection,
  samples: readonly DrawnSample[],
  facts: Pick<GridFacts, 'side' | 'totalSteps'>,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const write = (name: string, content: string | Buffer): Promise<void> =>
    writeFile(path.join(folder, name), content);
  for (const [index, { image: name }] of selection.samples.entries()) {
    const image = samples[index]?.image;
    if (name !== null && image) await write(name, toPng(image, facts.side));
  }
  const steps = selection.stages.map(({ step }) => step);
  await write('sheet.png', drawSheet(selection.prompt, samples, { steps, ...facts }));
  await write('selection.json', `${JSON.stringify(selection, null, 2)}\n`);
}
