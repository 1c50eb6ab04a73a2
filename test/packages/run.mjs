/** Runs use-client.mjs in Node or Bun: `node run.mjs ORIGIN FILE`. */
import { readFile } from 'node:fs/promises';

import { useClient } from './use-client.mjs';

const [, , origin, file] = process.argv;
const decisions = await useClient(origin, await readFile(file));
process.stdout.write(`${process.versions.bun ? 'Bun' : 'Node'}: ${decisions.join(' ')}\n`);
