/** Owns the proof that inference threads let the event loop go first. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { getPriority } from 'node:os';
import { test } from 'node:test';

import { startEngine } from '../../support/engine.js';
import { temporaryModels, writeProbe } from '../../support/probe-folder.js';

const isLinux = process.platform === 'linux';

function niceThreads(): number {
  const own = getPriority(process.pid);
  return readdirSync('/proc/self/task').filter((thread) => getPriority(Number(thread)) > own).length;
}

test(
  'each worker steps back behind the event loop',
  { skip: !isLinux && 'threads have no priority' },
  async (t) => {
    const models = await temporaryModels(t);
    await writeProbe(models);
    assert.equal(niceThreads(), 0);
    await startEngine(t, models, { workers: 2 });
    // Threads that ONNX Runtime starts for a worker inherit its priority.
    assert.ok(niceThreads() >= 2, String(niceThreads()));
  },
);
