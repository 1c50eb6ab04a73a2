/** The client of the page: that of clients/typescript, with a report of each request and its answer. */
import { ProbeClient, type ScoreFailure } from '../../../clients/typescript/src/index.js';

/** A request and its answer. */
export interface Recorded {
  readonly body: ArrayBuffer;
  readonly answer: string | undefined;
  readonly ms: number;
}

export interface RecordingClientOptions {
  /** Called once for each request to /score. */
  readonly onExchange: (recorded: Recorded) => void;
  readonly onProblem: (failure: ScoreFailure) => void;
}

/** Long, because nothing else happens between two steps, and a run of the denoiser delays the timer and the answer. */
export const DEADLINE_MS = 5000;

export function recordingClient(origin: string, options: RecordingClientOptions): ProbeClient {
  const { onExchange, onProblem } = options;
  return new ProbeClient(origin, {
    deadlineMs: DEADLINE_MS,
    onMistake: 'keep',
    // Each decision point asks anew, because a person watches.
    breakerFailures: 0,
    onProblem,
    fetch: async (url, init) => {
      const startedAt = performance.now();
      const body = (init?.body as Uint8Array<ArrayBuffer> | undefined)?.slice().buffer ?? new ArrayBuffer(0);
      const tell = (answer: string | undefined): void =>
        onExchange({ body, answer, ms: performance.now() - startedAt });
      try {
        const response = await fetch(url, init);
        tell(await response.clone().text());
        return response;
      } catch (error) {
        tell(undefined);
        throw error;
      }
    },
  });
}
