/** Runs that take a chosen time, on fast machines and on slow ones. */
import * as ort from 'onnxruntime-node';

import { type Hang, tinyInputs, tinyOnnx } from './onnx.js';
import { TINY_SIZE } from './probe-folder.js';

const TURNS = 50_000;

let turnsPerMs: Promise<number> | undefined;

/** What makes runs with a timestep above `above` take about `milliseconds`, or more where other work takes the cores. */
export async function hangOf(milliseconds: number, above: number): Promise<Hang> {
  turnsPerMs ??= measureTurns();
  return { above, turns: Math.ceil(milliseconds * (await turnsPerMs)) };
}

/** The fastest of three runs, so that a pause of the machine makes no run too short. */
async function measureTurns(): Promise<number> {
  const { layers, height, width } = TINY_SIZE;
  const model = tinyOnnx({ inputs: tinyInputs(layers, height, width), hang: { above: 0, turns: TURNS } });
  const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1 });
  const inputs = {
    attention: new ort.Tensor('float16', new Uint16Array(layers * height * width), [
      1,
      layers,
      1,
      height,
      width,
    ]),
    token_mask: new ort.Tensor('uint8', [1], [1, 1]),
    timestep: new ort.Tensor('float32', [1], [1]),
  };
  const times: number[] = [];
  for (let run = 0; run < 3; run += 1) {
    const start = performance.now();
    await session.run(inputs);
    times.push(performance.now() - start);
  }
  await session.release();
  return TURNS / Math.min(...times);
}
