/**
 * Graphs on onnxruntime-node. A run blocks this thread, which is acceptable in a command-line tool; the service runs its graphs in
 * worker threads instead.
 */
import type * as Ort from 'onnxruntime-node';

import type { Graph } from '../graph.js';
import { OrtGraph } from '../ort-graph.js';

// ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its library loads.
process.env['ORT_DISABLE_TELEMETRY'] = '1';
const { InferenceSession, Tensor } = await import('onnxruntime-node');

export async function openGraph(model: Uint8Array): Promise<Graph> {
  const session: Ort.InferenceSession = await InferenceSession.create(model, {
    executionProviders: ['cpu'],
    // Hides the warnings that constant folding writes for the compressed weights.
    logSeverityLevel: 3,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  });
  return new OrtGraph(session, Tensor);
}
