/** The thread of json-thread.ts. An unexpected error ends it. */
import { parentPort } from 'node:worker_threads';

import { ProblemError } from '../errors.js';
import { decodeFeedback, decodeJson } from './json.js';
import type { FeedbackTask, JsonReply, ScoreTask } from './json-thread.js';

/** Of a text that may repeat a part of the body. */
const MAX_SHOWN = 1000;

parentPort?.on('message', (task: FeedbackTask | ScoreTask) => parentPort?.postMessage(replyTo(task)));

function replyTo(task: FeedbackTask | ScoreTask): JsonReply {
  try {
    if (!('listDtypes' in task)) return { value: decodeFeedback(task.bytes) };
    const { bytes, listDtypes } = task;
    return { value: decodeJson(bytes, (model, tensor) => listDtypes.get(model)?.get(tensor) ?? 'F32') };
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    const { code, detail, field = 'body', expected } = error;
    const extra = { field: field.slice(0, MAX_SHOWN), expected };
    return { refusal: { code, detail: detail.slice(0, MAX_SHOWN), extra } };
  }
}
