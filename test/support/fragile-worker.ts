/**
 * The real worker with a second listener on its port that throws when a run contains the fatal timestep. The thread then
 * dies during its work, as it could in production.
 */
import { parentPort } from 'node:worker_threads';

import type { Command } from '../../src/engine/worker/protocol.js';
// oxlint-disable-next-line import/no-unassigned-import -- the module is the thread's whole program
import '../../src/engine/worker/worker.js';

const FATAL_TIMESTEP = 779.25;

parentPort?.on('message', (command: Command) => {
  if (command.kind !== 'run') return;
  const isFatal = command.slices.some(({ bytes, tensors }) => {
    const offset = tensors.get('timestep')?.byteOffset ?? 0;
    return new DataView(bytes).getFloat32(offset, true) === FATAL_TIMESTEP;
  });
  if (isFatal) throw new Error('the fatal timestep');
});
