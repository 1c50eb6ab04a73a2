/** Serves the files of a folder, such as a page built from demo/page, at `/`. */
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';

import staticFiles from '@fastify/static';
import type { FastifyInstance } from 'fastify';

import { messageOf, StartError } from '../errors.js';

const INDEX = 'index.html';
/** The folder of files whose names change with their content. */
const HASHED = `assets${path.sep}`;
const YEAR = 'public, max-age=31536000, immutable';

/** The page loads only from this service. `wasm-unsafe-eval` allows WebAssembly and nothing else. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** The second and third isolate the page from other origins, without which a browser gives WebAssembly no threads. */
const HEADERS = {
  'content-security-policy': PAGE_POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  vary: 'accept-encoding',
};

/**
 * Adds a route for each file of the folder, and `/` for its index.html. `NAME.gz` is sent for `NAME` to those that take it.
 * @param folder read once; files that are added later are not served.
 * @throws {StartError} when it is no such folder.
 */
export async function registerStaticFiles(
  app: FastifyInstance,
  { folder }: { readonly folder: string },
): Promise<void> {
  const root = path.resolve(folder);
  checkFolder(root);
  // A route for each file instead of one for all: only so is an unknown address still 404, and a wrong method 405.
  app.addHook('onRoute', (route) => {
    route.config = { ...route.config, isPublic: true };
  });
  app.addHook('onSend', async (_request, reply) => {
    reply.headers(HEADERS);
  });
  await app.register(staticFiles, {
    root,
    wildcard: false,
    globIgnore: ['**/*.gz'],
    preCompressed: true,
    cacheControl: false,
    decorateReply: false,
    setHeaders: (response, file) => {
      const isHashed = path.relative(root, file).startsWith(HASHED);
      response.setHeader('cache-control', isHashed ? YEAR : 'no-cache');
    },
  });
}

/** @throws {StartError} */
function checkFolder(root: string): void {
  try {
    if (!statSync(root).isDirectory()) throw new Error(`${root} is no folder`);
  } catch (error) {
    throw new StartError(`STATIC_DIR: expected a folder with ${INDEX}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  if (!existsSync(path.join(root, INDEX)))
    throw new StartError(`STATIC_DIR: expected a folder with ${INDEX}: ${root} has none`);
}
