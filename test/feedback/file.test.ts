/** Lines that wait for a disk which does not answer are bounded in number. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { FeedbackFile } from '../../src/feedback/file.js';
import { receiptOf } from '../support/receipt.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const BLOCKING = 500; // lines of a write that no pipe takes whole: Linux buffers 64 KiB
const MAX_WAITING = 600;

test('a write that does not end keeps a bounded number of lines in memory, and says how many it lost', async (t) => {
  const fifo = path.join(await temporaryFolder(t), 'feedback.jsonl');
  execFileSync('mkfifo', [fifo]);
  const reader = await open(fifo, constants.O_RDWR | constants.O_NONBLOCK);
  const lost: [string, number][] = [];
  const file = new FeedbackFile(fifo, (error, lines) => lost.push([String(error), lines]), MAX_WAITING);
  const add = (count: number) => {
    for (let line = 0; line < count; line++)
      file.add({ receipt: receiptOf(), quality: 1, weight: 1, delaySeconds: 1 });
  };
  await file.open();
  add(BLOCKING);
  let read = '';
  const buffer = Buffer.alloc(65_536);
  const readUntil = async (holds: () => boolean) => {
    while (!holds()) {
      const { bytesRead } = await reader.read(buffer).catch(() => ({ bytesRead: 0 }));
      read += buffer.toString('utf8', 0, bytesRead);
      await setTimeout(1);
    }
  };
  await readUntil(() => read !== '');
  add(2 * MAX_WAITING + 1);
  const loss = ['Error: the write before has not ended', MAX_WAITING];
  assert.deepEqual(lost, [loss, loss]);
  await readUntil(() => read.split('\n').length > BLOCKING + 1);
  await file.flushed();
  await reader.close();
});
