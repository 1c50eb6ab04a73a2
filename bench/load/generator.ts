/** The load generator: a process that runs one loop per request and answers with its outcome. */
import { readFileSync } from 'node:fs';

import { answerCalls } from '../processes/child.js';
import type { LoadCall } from '../protocol.js';
import { runClosedLoop, runOpenLoop } from './loops.js';
import { prepareRequests } from './requests.js';

const [examplePath = ''] = process.argv.slice(2);
const example = readFileSync(examplePath);

answerCalls<LoadCall>(async (loop) => {
  const nextRequest = prepareRequests(example, loop.load, loop.target, loop.headers);
  return loop.kind === 'closed' ? runClosedLoop(loop, nextRequest) : runOpenLoop(loop, nextRequest);
});
