/** Owns where probes lie: models/<name>/<version>/, with a whole number for the version. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';

import { messageOf } from './refusal.js';

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
    for (const version of await versionsIn(path.join(modelsDir, name))) {
      locations.push({ folder: path.join(modelsDir, name, version), name, version: Number(version) });
    }
  }
  return locations.toSorted((left, right) => compareNames(left, right) || right.version - left.version);
}

/**
 * How a folder looks from outside, as a text that differs once any of its files has changed. Cheap: nothing is read.
 */
export async function folderFingerprint(folder: string): Promise<string> {
  try {
    const names = (await readdir(folder)).toSorted();
    const prints = await Promise.all(names.map((name) => filePrint(path.join(folder, name))));
    return names.map((name, index) => `${name} ${prints[index]}`).join('\n');
  } catch (error) {
    return messageOf(error);
  }
}

/** Links are followed, as a mounted volume swaps what they lead to. */
async function filePrint(file: string): Promise<string> {
  try {
    const { size, mtimeNs, ctimeNs, ino } = await stat(file, { bigint: true });
    return [size, mtimeNs, ctimeNs, ino].join(' ');
  } catch (error) {
    return messageOf(error);
  }
}

/** A link that leads nowhere, or a name that is just going, holds no version. */
async function versionsIn(folder: string): Promise<string[]> {
  try {
    return await foldersIn(folder, VERSION);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
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
