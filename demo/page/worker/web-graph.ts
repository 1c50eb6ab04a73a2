/** Graphs on onnxruntime-web: WebAssembly with SIMD, and threads where the page is isolated from other origins. */
import { env, InferenceSession, Tensor } from 'onnxruntime-web/wasm';

import type { Feed, Floats, Graph } from '../../world/graph.js';
import { OrtGraph } from '../../world/ort-graph.js';

const MOST_THREADS = 4;

/** @param folder of the WebAssembly files, a URL with a slash at its end. */
export function configureOrt(folder: string): void {
  const isIsolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated === true;
  env.wasm.wasmPaths = folder;
  env.wasm.numThreads = isIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
  env.logLevel = 'error';
}

export async function openWebGraph(model: Uint8Array): Promise<Graph> {
  const session = await InferenceSession.create(model, {
    executionProviders: ['wasm'],
    // Opens faster than with all optimisations, and runs as fast: docs/adr/0048-a-page-that-draws.md
    graphOptimizationLevel: 'basic',
    logSeverityLevel: 3,
  });
  return new PatientGraph(session, Tensor);
}

/** Lets the worker read its messages after each run: a run and the code after it block them. */
class PatientGraph extends OrtGraph {
  override async run(feeds: Readonly<Record<string, Feed>>): Promise<Record<string, Floats>> {
    const outputs = await super.run(feeds);
    await new Promise((resolve) => {
      setTimeout(resolve);
    });
    return outputs;
  }
}
