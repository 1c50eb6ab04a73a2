/** A graph whose weights lie in another file is refused by the name of that file, wherever the tensor stands in the graph. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';

import { InferenceSession } from 'onnxruntime-node';

import { externalFiles } from '../../src/probe/external-data.js';
import { readProbeFolder } from '../../src/probe/folder.js';
import { tinyInputs, tinyOnnx } from '../support/onnx.js';
import { writeProbe } from '../support/probe-folder.js';
import { concatenate, type Field, integer, message, text } from '../support/protobuf.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const WEIGHTS = 'weights.bin';
const inputs = tinyInputs(2, 4, 4);

test('ONNX Runtime reads such weights from the working folder, which is why they are refused', async (t) => {
  const modelsDir = await temporaryFolder(t);
  const workingFolder = process.cwd();
  t.after(() => process.chdir(workingFolder));
  process.chdir(modelsDir);
  await writeFile(WEIGHTS, new Uint8Array(new Float32Array([0.5]).buffer));
  const model = tinyOnnx({ inputs, biasFile: WEIGHTS });
  // Some optimizations refuse such a graph themselves.
  await (await InferenceSession.create(model, { graphOptimizationLevel: 'disabled' })).release();

  const { folder } = await writeProbe(modelsDir, { model });
  await assert.rejects(readProbeFolder({ folder, name: 'tiny', version: 1 }), {
    name: 'ProbeRefusedError',
    message: `model.onnx has weights in other files ("${WEIGHTS}"); export it with all weights inside`,
  });
});

const tensor: Field = concatenate([message(13, text(1, 'location'), text(2, 'w')), integer(14, 1)]);
const graph = message(5, tensor);

for (const [place, model] of [
  ['an initializer', message(7, message(5, tensor))],
  ['a tensor without location', message(7, message(5, message(13, text(1, 'location'), text(2, 'w'))))],
  ['a sparse initializer', message(7, message(15, message(1, tensor)))],
  ['indices of a sparse initializer', message(7, message(15, message(2, tensor)))],
  ['an attribute', message(7, message(1, message(5, message(5, tensor))))],
  ['a list of tensors', message(7, message(1, message(5, message(10, tensor))))],
  ['a subgraph', message(7, message(1, message(5, message(6, graph))))],
  ['a list of subgraphs', message(7, message(1, message(5, message(11, graph))))],
  ['a sparse attribute', message(7, message(1, message(5, message(22, message(1, tensor)))))],
  ['a function', message(25, message(7, message(5, message(5, tensor))))],
  ['a training graph', message(20, message(2, graph))],
] as const) {
  test(`external data is found in ${place}`, () => assert.deepEqual(externalFiles(model), ['w']));
}

test('a graph with all of its weights inside has no external files', () => {
  assert.deepEqual(externalFiles(tinyOnnx({ inputs })), []);
});
