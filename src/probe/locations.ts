/** Finds the probes of a model repository, models/<name>/<version>/, and fingerprints their folders to detect changes. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';

import { messageOf, StartError } from '../errors.js';
import { PROBE_NAME } from './manifest.js';

const VERSION = /^[1-9][0-9]*$/;

/** What identifies a probe. */
export interface ProbeVersion {
  readonly name: string;
  readonly version: number;
}

export interface ProbeLocation extends ProbeVersion {
  readonly folder: string;
}

/** A folder of the repository that cannot be read, so that its versions are not known. */
export interface UnreadableFolder {
  readonly folder: string;
  readonly reason: string;
}

/** The order of probes in lists: by name, newest version first. */
export function compareProbes(left: ProbeVersion, right: ProbeVersion): number {
  if (left.name === right.name) return right.version - left.version;
  return left.name < right.name ? -1 : 1;
}

/**
 * Every folder whose path is that of a probe, in the order of compareProbes, and the folders that cannot be read, which hide
 * no other. Other files and folders are ignored.
 * @throws {StartError} when the models' folder itself cannot be read.
 */
export async function findProbeLocations(
  modelsDir: string,
): Promise<{ locations: ProbeLocation[]; unreadable: UnreadableFolder[] }> {
  const locations: ProbeLocation[] = [];
  const unreadable: UnreadableFolder[] = [];
  const names = await foldersIn(modelsDir, PROBE_NAME).catch((cause: unknown) => {
    throw unreadableRepository(modelsDir, cause);
  });
  for (const name of names) {
    const parent = path.join(modelsDir, name);
    try {
      for (const version of await versionsIn(parent))
        locations.push({ folder: path.join(parent, version), name, version: Number(version) });
    } catch (error) {
      unreadable.push({ folder: parent, reason: messageOf(error) });
    }
  }
  return { locations: locations.toSorted(compareProbes), unreadable };
}

function unreadableRepository(modelsDir: string, cause: unknown): StartError {
  const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
  const reason = isMissing ? 'there is no such folder' : messageOf(cause);
  return new StartError(
    `the model repository ${path.resolve(modelsDir)} cannot be read: ${reason}; choose another with --models-dir`,
    { cause },
  );
}

/** A text that differs once any file of the folder has changed. Cheap: no file is read. */
export async function folderFingerprint(folder: string): Promise<string> {
  try {
    const names = (await readdir(folder)).toSorted();
    return (await Promise.all(names.map((name) => fileFingerprint(folder, name)))).join('\n');
  } catch (error) {
    return messageOf(error);
  }
}

/** `stat` follows links: when a mounted volume is updated, the target of a link changes and not the link. */
async function fileFingerprint(folder: string, name: string): Promise<string> {
  try {
    const { size, mtimeNs, ctimeNs, ino } = await stat(path.join(folder, name), { bigint: true });
    return [name, size, mtimeNs, ctimeNs, ino].join(' ');
  } catch (error) {
    return `${name} ${messageOf(error)}`;
  }
}

/** The version folders of a probe; none when `folder` is a link to a file or to nothing, or has just been deleted. */
async function versionsIn(folder: string): Promise<string[]> {
  try {
    return await foldersIn(folder, VERSION);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}

/** Links count as folders: mounted volumes link probes in from elsewhere. */
async function foldersIn(folder: string, pattern: RegExp): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && pattern.test(entry.name))
    .map((entry) => entry.name);
}
