/**
 * The real worker with a second listener on its port that throws when a run contains the fatal timestep. The thread then
 * dies during its work, as it could in production.
 */
import { parentPort } from 'node:worker_threads';

import { type InputLayout, layoutOf } from '../../src/engine/worker/input-layout.js';
import type { CommandMessage } from '../../src/engine/worker/protocol.js';
import { unpackSlices } from '../../src/engine/worker/packing.js';
// oxlint-disable-next-line import/no-unassigned-import -- the module is the thread's whole program
import '../../src/engine/worker/worker.js';

const FATAL_TIMESTEP = 779.25;

const layouts = new Map<number, readonly InputLayout[]>();

parentPort?.on('message', ({ command }: CommandMessage) => {
  if (command.kind === 'load') layouts.set(command.key, command.inputs.map(layoutOf));
  if (command.kind !== 'run') return;
  const inputs = layouts.get(command.key) ?? [];
  const index = inputs.findIndex(({ input }) => input.name === 'timestep');
  const isFatal = unpackSlices(command, inputs).some(({ bytes, tensors }) => {
    const offset = tensors[index]?.byteOffset ?? 0;
    return new DataView(bytes).getFloat32(offset, true) === FATAL_TIMESTEP;
  });
  if (isFatal) throw new Error('the fatal timestep');
});
