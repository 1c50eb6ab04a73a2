/** Opens the reference world in a browser. */
import { sha256 } from '@noble/hashes/sha2.js';

import { DESCRIPTION_FILE, parseDescription } from '../../world/description.js';
import { World } from '../../world/world.js';
import { configureOrt, openWebGraph } from './web-graph.js';

/**
 * @param base the URL of the page's folder.
 * @throws {Error} when a file cannot be loaded.
 */
export async function openWorld(base: string): Promise<World> {
  configureOrt(new URL(ORT_FOLDER, base).href);
  const load = async (name: string): Promise<Response> => {
    const response = await fetch(new URL(REFERENCE_FOLDER + name, base));
    if (response.ok) return response;
    throw new Error(`${name} of the reference world was answered with status ${response.status}`);
  };
  const description = parseDescription(await (await load(DESCRIPTION_FILE)).text(), DESCRIPTION_FILE);
  return World.open(description, {
    openGraph: async (name) => openWebGraph(new Uint8Array(await (await load(name)).arrayBuffer())),
    // Not that of the browser, which pages have only from https and localhost.
    sha256: (text) => sha256(new TextEncoder().encode(text)),
  });
}
