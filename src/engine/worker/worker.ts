/**
 * The program of a worker thread: executes commands one after the other, holds one session per key, replies to each command.
 * It ends by itself after a `close` command. It must never be terminated during a run, which would abort the process.
 */
import { readlinkSync } from 'node:fs';
import { constants, getPriority, setPriority } from 'node:os';
import { basename } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';

import { messageOf } from '../../errors.js';
import type { Placement } from '../types.js';
import { BatchMemory } from './batch-memory.js';
import { type RunnableGraph, runBatch } from './batch-runner.js';
import { layoutOf } from './input-layout.js';
import type { Command, Reply, RunResult, WorkerSettings } from './protocol.js';
import { type ProbeSession, openSession } from './session.js';

if (!parentPort) throw new Error('this module runs as a worker thread only');
/** More would starve runs where other programs use the cores, such as a backend on the same machine. */
const NICENESS = 5;
const port = parentPort;
// Only WorkerThread starts this thread.
const settings = workerData as WorkerSettings;
const graphs = new Map<number, RunnableGraph & { readonly session: ProbeSession }>();
const memory = new BatchMemory();
if (!settings.isWide) giveWay();

// One command at a time: a session's run yields to the event loop before it blocks, and the next command must wait.
let lastCommand = Promise.resolve();
port.on('message', (command: Command) => {
  lastCommand = lastCommand.then(() => answer(command));
});

async function answer(command: Command): Promise<void> {
  const reply = await execute(command).then(
    (value): Reply => ({ value }),
    (error: unknown): Reply => ({ error: messageOf(error) }),
  );
  if (command.kind === 'close') port.close();
  else port.postMessage(reply);
}

async function execute(command: Command): Promise<Placement | RunResult | undefined> {
  switch (command.kind) {
    case 'load': {
      const { key, graph } = command;
      const session = await openSession(graph, settings);
      const isPadded = session.placement.provider === 'cuda';
      graphs.set(key, { session, layouts: graph.inputs.map(layoutOf), isPadded });
      return session.placement;
    }
    case 'run': {
      const start = performance.now();
      const graph = graphs.get(command.key);
      if (!graph) throw new Error(`no probe is loaded under ${command.key}`);
      const results = await runBatch(command.slices, graph, memory);
      return { results, ms: performance.now() - start };
    }
    case 'unload':
      await unload(command.key);
      return undefined;
    case 'close':
      for (const key of graphs.keys()) await unload(key);
      return undefined;
  }
}

/** Under overload the event loop must answer in time, so runs have a lower priority. Threads of a session inherit it. */
function giveWay(): void {
  try {
    const threadId = Number(basename(readlinkSync('/proc/thread-self')));
    setPriority(threadId, Math.min(getPriority() + NICENESS, constants.priority.PRIORITY_LOW));
  } catch {
    // Only Linux has priorities of threads.
  }
}

async function unload(key: number): Promise<void> {
  const graph = graphs.get(key);
  graphs.delete(key);
  await graph?.session.release();
}
