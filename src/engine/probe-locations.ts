/** Owns where probes lie: models/<name>/<version>/, with a whole number for the version. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';

const NAME = /^[a-z0-9][a-z0-9._-]*$/;
const VERSION = /^[1-9][0-9]*$/;

export interface ProbeLocation {
  readonly folder: string;
  readonly name: string;
  readonly version: number;
}

/**
 * Every folder that claims to be a probe, by name, newest version first. Whatever else lies there is left alone.
 * @throws when the models' folder itself cannot be read.
 */
export async function findProbeLocations(modelsDir: string): Promise<ProbeLocation[]> {
  const locations: ProbeLocation[] = [];
  for (const name of await foldersIn(modelsDir, NAME)) {
    for (const version of await foldersIn(path.join(modelsDir, name), VERSION)) {
      locations.push({ folder: path.join(modelsDir, name, version), name, version: Number(version) });
    }
  }
  return locations.toSorted((left, right) => compareNames(left, right) || right.version - left.version);
}

async function foldersIn(folder: string, pattern: RegExp): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  // A probe may be linked in from elsewhere, as mounted volumes do.
  return entries
    .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && pattern.test(entry.name))
    .map((entry) => entry.name);
}

function compareNames(left: ProbeLocation, right: ProbeLocation): number {
  if (left.name === right.name) return 0;
  return left.name < right.name ? -1 : 1;
}
