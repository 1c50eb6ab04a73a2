/**
 * Owns a worker that can be made to die: the real one, and a second ear on the same port that throws
 * when a run begins with the fatal timestep. So it dies as a thread would in production, in the middle of its work.
 */
import { parentPort } from 'node:worker_threads';

import type { Request } from '../../src/engine/protocol.js';
// oxlint-disable-next-line import/no-unassigned-import -- the module is the thread's whole program
import '../../src/engine/worker.js';

const FATAL_TIMESTEP = 779.25;

parentPort?.on('message', ({ order }: Request) => {
  if (order.kind !== 'run') return;
  const isFatal = order.parts.some(({ bytes, tensors }) => {
    const offset = tensors.get('timestep')?.byteOffset ?? 0;
    return new DataView(bytes).getFloat32(offset, true) === FATAL_TIMESTEP;
  });
  if (isFatal) throw new Error('the fatal timestep');
});
