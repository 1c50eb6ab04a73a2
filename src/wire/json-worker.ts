/** The thread of json-thread.ts. An unexpected error ends it. */
import { parentPort } from 'node:worker_threads';

import { ProblemError } from '../errors.js';
import { type ChooseListDtype, decodeFeedback, decodeJson } from './json.js';
import { decodeInference } from './inference-protocol.js';
import type { FeedbackTask, InferenceTask, JsonReply, ScoreTask } from './json-thread.js';

parentPort?.on('message', (task: Task) => parentPort?.postMessage(replyTo(task), []));

type Task = FeedbackTask | InferenceTask | ScoreTask;

function replyTo(task: Task): JsonReply {
  try {
    if ('isInference' in task) return { value: decodeInference(task.bytes, task.bytes.byteLength, Infinity) };
    if (!('inputs' in task)) return { value: decodeFeedback(task.bytes) };
    const chooseListDtype: ChooseListDtype = (model, tensor) => {
      const dtype = task.inputs.get(model)?.find(({ name }) => name === tensor)?.dtype;
      return dtype === 'U8' || dtype === 'I64' ? dtype : 'F32';
    };
    return { value: decodeJson(task.bytes, chooseListDtype) };
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    const { code, detail, field = 'body', expected } = error;
    return { refusal: { code, detail, extra: { field, expected } } };
  }
}
