/**
 * The program of a worker thread: executes commands one after the other, holds one session per key, replies to each command.
 * It ends by itself after a `close` command. It must never be terminated during a run, which would abort the process.
 */
import { parentPort, workerData } from 'node:worker_threads';

import { messageOf } from '../../errors.js';
import { BatchMemory } from './batch-memory.js';
import { type RunnableGraph, runBatch } from './batch-runner.js';
import { layoutOf } from './input-layout.js';
import { unpackSlices } from './packing.js';
import type {
  Command,
  CommandMessage,
  LoadCommand,
  ReplyMessage,
  ReplyValue,
  RunCommand,
  RunReply,
  SessionInfo,
  WorkerSettings,
} from './protocol.js';
import { DeviceUnavailableError, type ProbeSession, openSession } from './session.js';

interface LoadedGraph extends RunnableGraph {
  readonly session: ProbeSession;
}

if (!parentPort) throw new Error('this module runs as a worker thread only');
const port = parentPort;
// Only WorkerThread starts this thread.
const settings = workerData as WorkerSettings;
const graphs = new Map<number, LoadedGraph>();
const memory = new BatchMemory();

// One command at a time: a session's run yields to the event loop before it blocks, and the next command must wait.
let lastCommand = Promise.resolve();
port.on('message', (message: CommandMessage) => {
  lastCommand = lastCommand.then(() => answer(message));
});

async function answer({ id, command }: CommandMessage): Promise<void> {
  try {
    const value = await execute(command);
    if (command.kind === 'close') port.close();
    else send({ id, value });
  } catch (error) {
    const isDeviceUnavailable = error instanceof DeviceUnavailableError;
    send({ id, error: messageOf(error), isDeviceUnavailable });
  }
}

async function execute(command: Command): Promise<ReplyValue> {
  switch (command.kind) {
    case 'load':
      return load(command);
    case 'run':
      return run(command);
    case 'unload':
      await unload(command.key);
      return undefined;
    case 'close':
      for (const key of graphs.keys()) await unload(key);
      return undefined;
  }
}

async function load({ key, model, inputs, output }: LoadCommand): Promise<SessionInfo> {
  const session = await openSession(model, output, settings);
  graphs.set(key, { session, layouts: inputs.map(layoutOf), isPadded: session.info.provider === 'cuda' });
  return session.info;
}

async function run(command: RunCommand): Promise<RunReply> {
  const start = performance.now();
  const graph = graphs.get(command.key);
  if (!graph) throw new Error(`no probe is loaded under ${command.key}`);
  const { scores, faults } = await runBatch(unpackSlices(command, graph.layouts), graph, memory);
  return { scores, faults, ms: performance.now() - start };
}

async function unload(key: number): Promise<void> {
  const graph = graphs.get(key);
  graphs.delete(key);
  await graph?.session.release();
}

function send(reply: ReplyMessage): void {
  port.postMessage(reply);
}
