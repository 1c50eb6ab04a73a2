/** Owns which ONNX file is measured: that of the probe which answers the example's requests. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { request } from 'undici';

export interface ModelFile {
  readonly reference: string;
  readonly path: string;
  /** The graph's output that holds the scores. */
  readonly output: string;
}

/**
 * Asks the service which version it serves, and finds its file.
 * @throws {Error} when it serves no probe of that name.
 */
export async function findModelFile(url: string, name: string, modelsDir: string): Promise<ModelFile> {
  const { body } = await request(new URL('/models', url));
  const { models } = (await body.json()) as { models: { name: string; version: number; state: string }[] };
  const serving = models.find((model) => model.name === name && model.state === 'serving');
  if (!serving) throw new Error(`the service serves no probe ${name}, which the example is for`);
  const folder = path.join(modelsDir, name, String(serving.version));
  const manifest = JSON.parse(readFileSync(path.join(folder, 'probe.json'), 'utf8')) as {
    output: { name: string };
  };
  return {
    reference: `${name}@${serving.version}`,
    path: path.join(folder, 'model.onnx'),
    output: manifest.output.name,
  };
}
