/**
 * Runs a bundle of use-client.mjs where there is nothing but what browsers have: no `process`, no `Buffer`, no modules.
 * `node run-bundle.mjs BUNDLE ORIGIN FILE`
 */
import { readFile } from 'node:fs/promises';
import { createContext, runInContext } from 'node:vm';
import { gzipSync } from 'node:zlib';

const MAX_GZIPPED_BYTES = 8192;
const BROWSER = [
  'AbortController',
  'Headers',
  'Response',
  'TextDecoder',
  'TextEncoder',
  'URL',
  'clearTimeout',
  'console',
  'crypto',
  'fetch',
  'performance',
  'setTimeout',
];

const [, , bundle, client, origin, file] = process.argv;
const { length } = gzipSync(await readFile(client));
if (length > MAX_GZIPPED_BYTES)
  throw new Error(`the client has ${length} bytes, more than ${MAX_GZIPPED_BYTES}`);

const context = createContext(Object.fromEntries(BROWSER.map((name) => [name, globalThis[name]])));
runInContext(await readFile(bundle, 'utf8'), context);
const decisions = await context.bundle.useClient(origin, await readFile(file));
process.stdout.write(`a bundle (the client: ${length} bytes gzipped): ${decisions.join(' ')}\n`);
