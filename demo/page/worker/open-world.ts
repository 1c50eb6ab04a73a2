/** Opens the reference world in a browser. */
import { sha256 as hashOf } from '@noble/hashes/sha2.js';

import { type Description, DESCRIPTION_FILE, parseDescription } from '../../world/description.js';
import { World } from '../../world/world.js';
import { configureOrt, openWebGraph } from './web-graph.js';

export interface OpeningWorld {
  /** Known long before the graphs are open. */
  readonly description: Promise<Description>;
  readonly world: Promise<World>;
}

/** Not that of the browser, which only pages from https and localhost have. */
export function sha256(text: string): Uint8Array {
  return hashOf(new TextEncoder().encode(text));
}

/**
 * Both promises reject when a file cannot be loaded.
 * @param base the URL of the page's folder.
 */
export function openWorld(base: string): OpeningWorld {
  configureOrt(new URL(ORT_FOLDER, base).href);
  const load = async (name: string): Promise<Response> => {
    const response = await fetch(new URL(REFERENCE_FOLDER + name, base));
    if (response.ok) return response;
    throw new Error(`${name} of the reference world was answered with status ${response.status}`);
  };
  const readDescription = async (): Promise<Description> =>
    parseDescription(await (await load(DESCRIPTION_FILE)).text(), DESCRIPTION_FILE);
  const description = readDescription();
  const openGraph = async (name: string) =>
    openWebGraph(new Uint8Array(await (await load(name)).arrayBuffer()));
  const world = description.then((known) => World.open(known, { openGraph, sha256 }));
  return { description, world };
}
