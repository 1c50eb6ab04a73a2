/** The page's own code and its libraries are small, beside models and WebAssembly. */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { PAGE_FOLDER } from './browser.js';

const MOST_BYTES = 150_000;

test('own and library code has at most 150 KB, compressed', async () => {
  const files = await readdir(PAGE_FOLDER, { recursive: true });
  const code = files.filter((file) => /\.(?:js|mjs|css|html|svg)$/.test(file));
  const sizes = await Promise.all(
    code.map(async (file) => [file, gzipSync(await readFile(path.join(PAGE_FOLDER, file))).length] as const),
  );
  assert.ok(sizes.length >= 5, 'page, application, worker, style and the loader of ONNX Runtime');
  const total = sizes.reduce((sum, [, size]) => sum + size, 0);
  assert.ok(total <= MOST_BYTES, `${total} bytes: ${sizes.map((size) => size.join(' ')).join(', ')}`);
});
