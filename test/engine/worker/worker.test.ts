/** Worker threads have a lower priority than the event loop. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { getPriority } from 'node:os';
import { test } from 'node:test';

import { startEngine } from '../../support/engine.js';
import { temporaryModels, writeProbe } from '../../support/probe-folder.js';

const isLinux = process.platform === 'linux';

function lowPriorityThreads(): number {
  const own = getPriority(process.pid);
  return readdirSync('/proc/self/task').filter((thread) => getPriority(Number(thread)) > own).length;
}

test(
  'each worker lowers the priority of its thread',
  { skip: !isLinux && 'a thread has no priority of its own' },
  async (t) => {
    const models = await temporaryModels(t);
    await writeProbe(models);
    assert.equal(lowPriorityThreads(), 0);
    await startEngine(t, models, { workers: 2 });
    // Threads that ONNX Runtime starts for a worker inherit its priority.
    assert.ok(lowPriorityThreads() >= 2, String(lowPriorityThreads()));
  },
);
