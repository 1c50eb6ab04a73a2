/** Owns that the model repository is looked at again and again, and that a look which fails is told once and changes nothing. */
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../probe/refusal.js';
import type { EngineLog } from '../types.js';

export interface PollOptions {
  readonly look: () => Promise<unknown>;
  /** From the end of one look to the next, ms. */
  readonly intervalMs: number;
  /** Ends it. */
  readonly signal: AbortSignal;
  readonly log: EngineLog;
}

export async function pollRepository({ look, intervalMs, signal, log }: PollOptions): Promise<void> {
  let trouble: string | undefined;
  while (!signal.aborted) {
    await delay(intervalMs, undefined, { signal, ref: false }).catch(() => {});
    if (signal.aborted) return;
    try {
      await look();
      trouble = undefined;
    } catch (error) {
      const reason = messageOf(error);
      if (reason !== trouble) log.error({ reason }, 'the model repository cannot be looked at');
      trouble = reason;
    }
  }
}
