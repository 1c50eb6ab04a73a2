/**
 * Opens and runs ONNX Runtime sessions on the configured device. Only workers import this module, since a run blocks the
 * thread that it is called on.
 */
import { InferenceSession, env } from 'onnxruntime-node';

import type { Feeds } from './batch-assembly.js';
import { cudaFailure } from './cuda-failure.js';
import { type GraphValue, type SessionInfo, type WorkerSettings } from './protocol.js';

/** Threads that spin while they wait take the cores of other workers. See docs/adr/0026-narrow-workers-and-a-wide-one.md. */
const NO_SPINNING = { intra_op: { allow_spinning: '0' } };
/** The threads of a lone run wait that long, µs, for its next operator: waking them takes longer than most operators. */
const BRIEF_SPINNING = { intra_op: { allow_spinning: '1', spin_duration_us: '200' } };

export interface ProbeSession {
  readonly info: SessionInfo;
  /** Runs once and returns the values of the named output. Blocks this thread. */
  run(feeds: Feeds): Promise<Float32Array>;
  release(): Promise<void>;
}

// A failed attempt to use CUDA would print a native error, although the fallback handles it.
env.logLevel = 'fatal';

/**
 * Opens a session on a graph held in memory, on the CPU if CUDA cannot be used.
 * @throws {Error} when the graph itself cannot be loaded.
 */
export async function openSession(
  model: Uint8Array,
  output: string,
  settings: WorkerSettings,
): Promise<ProbeSession> {
  const { session, ...placement } = await openOn(model, settings);
  const inputs = session.inputMetadata.map(graphValue);
  const outputs = session.outputMetadata.map(graphValue);
  return {
    info: { ...placement, inputs, outputs },
    // On CUDA, ONNX Runtime copies each input to the device, runs, and copies the scores back. See docs/adr/0018-cuda-per-batch.md.
    run: async (feeds) => {
      const results = await session.run(feeds as unknown as InferenceSession.FeedsType, [output]);
      const values = results[output]?.data;
      if (!(values instanceof Float32Array))
        throw new TypeError(`the graph's output ${output} is not float32`);
      return values;
    },
    release: () => session.release(),
  };
}

/**
 * ONNX Runtime does not fall back by itself: the providers ['cuda', 'cpu'] throw where CUDA cannot load.
 * A graph that opens on the CPU after CUDA has failed shows that the fault is the device and not the graph.
 */
async function openOn(
  model: Uint8Array,
  { device, intraOpThreads, isWide = false }: WorkerSettings,
): Promise<Pick<SessionInfo, 'provider' | 'fallback'> & { readonly session: InferenceSession }> {
  const open = (provider: InferenceSession.ExecutionProviderConfig): Promise<InferenceSession> =>
    InferenceSession.create(model, {
      executionProviders: [provider],
      graphOptimizationLevel: 'all',
      intraOpNumThreads: intraOpThreads,
      interOpNumThreads: 1,
      extra: { session: isWide ? BRIEF_SPINNING : NO_SPINNING },
    });
  if (device === 'cpu') return { session: await open('cpu'), provider: 'cpu' };
  const [, index = '0'] = device.split(':');
  try {
    return { session: await open({ name: 'cuda', deviceId: Number(index) }), provider: 'cuda' };
  } catch (error) {
    return { session: await open('cpu'), provider: 'cpu', fallback: cudaFailure(error) };
  }
}

function graphValue(value: InferenceSession.ValueMetadata): GraphValue {
  return value.isTensor
    ? { name: value.name, type: value.type, shape: value.shape }
    : { name: value.name, type: 'not a tensor', shape: [] };
}
