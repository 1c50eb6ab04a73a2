/** The worker of the page, and what it has told. */
import { useCallback, useEffect, useReducer, useRef } from 'preact/hooks';

import type { FromWorker, Order, ToWorker } from '../messages.js';
import { reduce, START, type State } from './state.js';

export type Wish = Omit<Order, 'drawing'>;

/** @returns the state, and a function that starts a drawing and ends the one before. */
export function useWorker(): readonly [State, (wish: Wish) => void] {
  const [state, dispatch] = useReducer(reduce, START);
  const worker = useRef<Worker | undefined>(undefined);
  const drawings = useRef(0);
  useEffect(() => {
    const created = new Worker(new URL(WORKER_FILE, document.baseURI), { type: 'module' });
    created.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => dispatch(data));
    created.addEventListener('error', ({ message }) =>
      dispatch({ type: 'broken', message: message || 'the worker of this page cannot be loaded' }),
    );
    worker.current = created;
    return () => created.terminate();
  }, []);
  const draw = useCallback((wish: Wish) => {
    drawings.current += 1;
    const order = { ...wish, drawing: drawings.current };
    dispatch({ type: 'ordered', order });
    worker.current?.postMessage({ type: 'draw', ...order } satisfies ToWorker);
  }, []);
  return [state, draw];
}
