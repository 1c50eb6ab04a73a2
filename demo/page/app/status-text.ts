/** What happens now, and whether the service answers, in words. */
import type { State } from './state.js';

export interface StatusText {
  readonly kind: 'busy' | 'good' | 'open' | 'broken';
  readonly text: string;
}

export function statusOf({ facts, broken, drawing, probe }: State): StatusText {
  if (broken !== undefined) return { kind: 'broken', text: `This browser cannot draw: ${broken}` };
  if (!facts) return { kind: 'busy', text: 'Loading the model' };
  if (drawing?.phase === 'failed') return { kind: 'broken', text: `The drawing failed: ${drawing.refused}` };
  if (drawing?.phase === 'refused') return { kind: 'broken', text: 'This caption cannot be drawn' };
  if (drawing?.failedOpen !== undefined)
    return { kind: 'open', text: `No scores, so every image is kept: ${drawing.failedOpen}` };
  if (drawing?.phase === 'completing')
    return { kind: 'good', text: 'Finished; drawing the dropped ones too' };
  if (drawing?.phase === 'done') return { kind: 'good', text: 'Finished' };
  const isWaiting = !drawing?.candidates.some(({ step }) => step > 0);
  if (isWaiting) return { kind: 'busy', text: 'Loading the model' };
  return { kind: 'busy', text: probe === undefined ? 'Drawing' : `Drawing, scored by ${probe}` };
}
