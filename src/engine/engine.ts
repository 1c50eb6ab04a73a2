/** Owns the composition of the engine. */
import type { Engine, EngineOptions } from './types.js';

export type * from './types.js';

export async function createEngine(_options: EngineOptions): Promise<Engine> {
  throw new Error('not built yet');
}
