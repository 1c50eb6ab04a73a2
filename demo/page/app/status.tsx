/** What happens now, and whether the service answers. */
import type { State } from './state.js';
import { statusOf } from './status-text.js';

export function Status({ state }: { readonly state: State }) {
  const { kind, text } = statusOf(state);
  return (
    <p class="status" data-kind={kind} role="status">
      {text}
    </p>
  );
}
