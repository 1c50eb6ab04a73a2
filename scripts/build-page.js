// `npm run build:page`: builds the page of demo/page into dist/page, which STATIC_DIR serves. Everything but index.html lies in
// assets/, under a name that changes with the content.
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const SOURCE = path.join(ROOT, 'demo', 'page');
const OUT = path.join(ROOT, 'dist', 'page');
const COMPRESSED = /\.(?:js|mjs|css|html|json|svg|wasm)$/;

rmSync(OUT, { recursive: true, force: true });
mkdirSync(path.join(OUT, 'assets'), { recursive: true });
const reference = copyReference();
const ort = copyOrt();
const worker = await bundle('worker/worker.ts', {
  REFERENCE_FOLDER: JSON.stringify(reference),
  ORT_FOLDER: JSON.stringify(ort),
});
const app = await bundle('app/main.tsx', { WORKER_FILE: JSON.stringify(worker) });
const style = await bundle('style.css', {});
const icon = write('icon.svg', readFileSync(path.join(ROOT, 'openapi', 'logo.svg')));
const html = readFileSync(path.join(SOURCE, 'index.html'), 'utf8');
const files = { app, style, icon };
writeFileSync(path.join(OUT, 'licenses.txt'), licenses());
compress();
// Written last: without it a build is not finished.
writeFileSync(
  path.join(OUT, 'index.html'),
  html.replaceAll(/\{\{(\w+)\}\}/g, (_, name) => files[name]),
);

/** One file without further chunks. @returns its path in OUT. */
async function bundle(entry, define) {
  const { outputFiles } = await build({
    entryPoints: [path.join(SOURCE, entry)],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2023',
    // The build of ONNX Runtime that loads its WebAssembly from a folder.
    conditions: ['onnxruntime-web-use-extern-wasm'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    define,
    write: false,
    logLevel: 'warning',
  });
  return write(path.basename(entry).replace(/\.tsx?$/, '.js'), outputFiles[0].contents);
}

/** @returns the path in OUT, with a hash of the content in its name. */
function write(name, content) {
  const { name: stem, ext } = path.parse(name);
  const file = `assets/${stem}-${hashOf(content)}${ext}`;
  writeFileSync(path.join(OUT, file), content);
  return file;
}

/** The files that reference.json names, whose hashes it has. */
function copyReference() {
  const from = path.join(ROOT, 'reference');
  const description = readFileSync(path.join(from, 'reference.json'));
  const folder = `assets/reference-${hashOf(description)}/`;
  mkdirSync(path.join(OUT, folder));
  writeFileSync(path.join(OUT, folder, 'reference.json'), description);
  for (const [name, expected] of Object.entries(JSON.parse(description).files)) {
    const content = readFileSync(path.join(from, name));
    if (createHash('sha256').update(content).digest('hex') !== expected)
      throw new Error(`reference/${name} has another hash than reference.json says`);
    writeFileSync(path.join(OUT, folder, name), content);
  }
  return folder;
}

function copyOrt() {
  const from = path.dirname(createRequire(import.meta.url).resolve('onnxruntime-web/wasm'));
  const { version } = JSON.parse(readFileSync(path.join(from, '..', 'package.json')));
  const folder = `assets/ort-${version}/`;
  mkdirSync(path.join(OUT, folder));
  for (const name of ['ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'])
    copyFileSync(path.join(from, name), path.join(OUT, folder, name));
  return folder;
}

/** The licenses of what is built in, which ask to go with it. The package of ONNX Runtime has no text of its own. */
function licenses() {
  return ['onnxruntime-web', 'preact', '@noble/hashes', 'zod']
    .map((name) => {
      const folder = path.join(ROOT, 'node_modules', name);
      const { version, license } = JSON.parse(readFileSync(path.join(folder, 'package.json')));
      const file = path.join(folder, 'LICENSE');
      const text = existsSync(file)
        ? readFileSync(file, 'utf8')
        : 'Copyright (c) Microsoft Corporation. The terms of the MIT License are those below.';
      return `${name} ${version}: ${license}\n\n${text.trim()}\n`;
    })
    .join('\n\n');
}

function compress() {
  for (const entry of readdirSync(OUT, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    if (entry.isFile() && COMPRESSED.test(file)) writeFileSync(`${file}.gz`, gzipSync(readFileSync(file)));
  }
}

function hashOf(content) {
  return createHash('sha256').update(content).digest('hex').slice(0, 12);
}
