/**
 * Owns the worker thread: takes orders one after the other, holds one session per probe, answers each order.
 * It ends by itself when it is told to close; it must never be terminated during a run, which would abort the process.
 */
import { parentPort, workerData } from 'node:worker_threads';

import { BatchMemory } from './batch-memory.js';
import { type RunnableGraph, runBatch } from './batch-runner.js';
import { layoutOf } from './input-layout.js';
import type {
  LoadOrder,
  LoadReply,
  Order,
  Reply,
  Request,
  RunOrder,
  RunReply,
  WorkerSettings,
} from './protocol.js';
import { messageOf } from '../../errors.js';
import { unpackSlices } from './packing.js';
import { DeviceUnavailableError, type ProbeSession, openSession } from './session.js';
import { lowerThreadPriority } from './thread-priority.js';

interface LoadedGraph extends RunnableGraph {
  readonly session: ProbeSession;
}

if (!parentPort) throw new Error('this module runs as a worker thread only');
const port = parentPort;
// The engine alone starts this thread.
const settings = workerData as WorkerSettings;
const graphs = new Map<number, LoadedGraph>();
const memory = new BatchMemory();
lowerThreadPriority();

// One order at a time: a session's run yields to the event loop before it blocks, and the next message must wait.
let lastOrder = Promise.resolve();
port.on('message', (request: Request) => {
  lastOrder = lastOrder.then(() => answer(request));
});

async function answer({ call, order }: Request): Promise<void> {
  try {
    const value = await carryOut(order);
    if (order.kind === 'close') port.close();
    else send({ call, value });
  } catch (error) {
    send({ call, error: messageOf(error), isDevice: error instanceof DeviceUnavailableError });
  }
}

async function carryOut(order: Order): Promise<LoadReply | RunReply | undefined> {
  switch (order.kind) {
    case 'load':
      return load(order);
    case 'run':
      return run(order);
    case 'unload':
      await unload(order.key);
      return undefined;
    case 'close':
      for (const key of graphs.keys()) await unload(key);
      return undefined;
  }
}

async function load({ key, model, inputs, output, allCores }: LoadOrder): Promise<LoadReply> {
  const session = await openSession(model, output, { ...settings, allCores });
  graphs.set(key, { session, layouts: inputs.map(layoutOf) });
  return session.about;
}

async function run(order: RunOrder): Promise<RunReply> {
  const start = performance.now();
  const graph = graphs.get(order.key);
  if (!graph) throw new Error(`no probe is loaded under ${order.key}`);
  const { scores, faults } = await runBatch(unpackSlices(order, graph.layouts), graph, memory);
  return { scores, faults, ms: performance.now() - start };
}

async function unload(key: number): Promise<void> {
  const graph = graphs.get(key);
  graphs.delete(key);
  await graph?.session.release();
}

function send(reply: Reply): void {
  port.postMessage(reply);
}
