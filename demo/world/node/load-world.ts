/** Loads the reference world from a folder, in Node. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { type Description, DESCRIPTION_FILE, parseDescription } from '../description.js';
import { World } from '../world.js';
import { openGraph } from './graph.js';
import { sha256 } from './random.js';

/** @throws {Error} when a file is missing, is not valid or has another hash than in reference.json. */
export async function loadWorld(folder: string): Promise<World> {
  const description = await readDescription(folder);
  const open = async (name: string) => openGraph(await readVerified(folder, name, description));
  const world = await World.open(description, { openGraph: open, sha256 });
  await world.opened();
  return world;
}

/** @throws {Error} when the file is missing or is not valid. */
export async function readDescription(folder: string): Promise<Description> {
  const file = path.join(folder, DESCRIPTION_FILE);
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Error(`the reference world is missing: ${file} cannot be read`, { cause });
  });
  return parseDescription(text, file);
}

/**
 * Reads one of the files that the description names.
 * @throws {Error} when it is missing or has another hash.
 */
export async function readVerified(
  folder: string,
  name: string,
  { files }: Description,
): Promise<Uint8Array> {
  const content = await readFile(path.join(folder, name));
  const actual = createHash('sha256').update(content).digest('hex');
  if (actual === files[name]) return content;
  throw new Error(
    `${name} in ${folder} has the SHA-256 ${actual}, but ${DESCRIPTION_FILE} says ${files[name]}`,
  );
}
