/** The worker of the page: everything that computes, so that the page stays smooth. A new order ends the drawing before it. */
import { CaptionError } from '../../world/caption.js';
import type { Description } from '../../world/description.js';
import type { Facts, FromWorker, ToWorker } from '../messages.js';
import { draw } from './draw.js';
import { openWorld } from './open-world.js';

/** The globals of a worker, which the types of a page do not have. */
interface WorkerScope {
  readonly location: Location;
  addEventListener(type: 'message', listener: (event: MessageEvent<ToWorker>) => void): void;
  postMessage(message: FromWorker, transfer: Transferable[]): void;
}

const scope = globalThis as unknown as WorkerScope;
const post = (message: FromWorker, transfer: Transferable[] = []): void =>
  scope.postMessage(message, transfer);
/** The worker's file lies in a folder below the page. */
const base = new URL('..', scope.location.href).href;
const opening = openWorld(base);
let current = new AbortController();

opening.description.then(
  (description) => post({ type: 'opened', facts: factsOf(description) }),
  () => {},
);
opening.world.catch((error: unknown) => post({ type: 'broken', message: messageOf(error) }));

scope.addEventListener('message', ({ data: order }) => {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  const { drawing } = order;
  draw(order, {
    opening,
    service: base,
    signal,
    tell: (news, transfer = []) => {
      if (!signal.aborted) post({ ...news, drawing }, transfer);
    },
    onProbe: (probe, choices) => post({ type: 'probe', reference: probe?.reference, choices }),
  }).catch((error: unknown) => {
    if (signal.aborted) return;
    const type = error instanceof CaptionError ? 'refused' : 'failed';
    post({ type, message: messageOf(error), drawing });
  });
});

function factsOf(description: Description): Facts {
  const { vocabulary, max_tokens: maxTokens, steps, image, capture, good_at: goodAt } = description;
  return {
    vocabulary: vocabulary.filter((word) => !word.startsWith('<')),
    maxWords: maxTokens - 1,
    totalSteps: steps,
    side: image[2],
    mapWidth: capture.width,
    mapHeight: capture.height,
    goodAt,
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
