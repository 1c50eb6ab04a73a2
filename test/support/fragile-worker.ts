/**
 * Owns a worker that can be made to die: the real one, and a second ear on the same port that throws
 * when a run begins with the fatal timestep. So it dies as a thread would in production, in the middle of its work.
 */
import { parentPort } from 'node:worker_threads';

import { type InputLayout, layoutOf } from '../../src/engine/worker/input-layout.js';
import type { Request } from '../../src/engine/worker/protocol.js';
import { unpackSlices } from '../../src/engine/worker/packing.js';
// oxlint-disable-next-line import/no-unassigned-import -- the module is the thread's whole program
import '../../src/engine/worker/worker.js';

const FATAL_TIMESTEP = 779.25;

const layouts = new Map<number, readonly InputLayout[]>();

parentPort?.on('message', ({ order }: Request) => {
  if (order.kind === 'load') layouts.set(order.key, order.inputs.map(layoutOf));
  if (order.kind !== 'run') return;
  const inputs = layouts.get(order.key) ?? [];
  const index = inputs.findIndex(({ input }) => input.name === 'timestep');
  const isFatal = unpackSlices(order, inputs).some(({ bytes, tensors }) => {
    const offset = tensors[index]?.byteOffset ?? 0;
    return new DataView(bytes).getFloat32(offset, true) === FATAL_TIMESTEP;
  });
  if (isFatal) throw new Error('the fatal timestep');
});
