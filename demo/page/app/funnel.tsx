/** The denoiser calls of a drawing: a column for each step, as high as the number of images that it denoises. */
import { stagesOf } from '../../drawing/drawing-plan.js';
import type { Drawing } from './state.js';

interface FunnelProps {
  readonly drawing: Drawing;
  readonly totalSteps: number;
}

export function Funnel({ drawing: { alive, plan, candidates }, totalSteps }: FunnelProps) {
  const all = candidates.length || 1;
  const keep = new Map(plan ? stagesOf(plan) : []);
  const steps = Array.from({ length: totalSteps }, (_, index) => index + 1);
  const label = `Step ${alive.length} of ${totalSteps}; the last step denoised ${alive.at(-1) ?? 0} of ${candidates.length} images`;
  return (
    <figure class="funnel">
      <div class="columns" role="img" aria-label={label}>
        {steps.map((step) => (
          <span key={step} class="column" data-asks={keep.has(step) ? '' : undefined}>
            <span class="spent" style={{ blockSize: `${(100 * (alive[step - 1] ?? 0)) / all}%` }} />
            {keep.has(step) && (
              <span class="asks">
                <span class="verb">keep </span>
                {keep.get(step)}
              </span>
            )}
          </span>
        ))}
      </div>
      <figcaption>
        <span>step 1</span>
        <span>images that each step denoises</span>
        <span>{totalSteps}</span>
      </figcaption>
    </figure>
  );
}
