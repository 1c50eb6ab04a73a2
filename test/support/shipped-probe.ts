/** The probes in the repository, in their newest version. */
import { readdirSync } from 'node:fs';
import path from 'node:path';

/** @param name of the probe. */
export function shippedProbe(name: string): { readonly folder: string; readonly reference: string } {
  const versions = readdirSync(path.join('models', name)).map(Number);
  const version = String(Math.max(...versions));
  return { folder: path.join('models', name, version), reference: `${name}@${version}` };
}
