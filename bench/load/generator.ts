/** Owns the load generator's process: takes one order after the other and answers each with what became of the requests. */
import { readFileSync } from 'node:fs';

import { answerOrders } from '../processes/orders.js';
import { runClosedLoop } from './closed-loop.js';
import { runOpenLoop } from './open-loop.js';
import type { LoadTalk } from './protocol.js';
import { prepareRequests } from './requests.js';

const [examplePath = ''] = process.argv.slice(2);
const example = readFileSync(examplePath);

answerOrders<LoadTalk>(async (order) => {
  const nextRequest = prepareRequests(example, order.load, order.target);
  return order.kind === 'closed' ? runClosedLoop(order, nextRequest) : runOpenLoop(order, nextRequest);
});
