/**
 * Opens and runs ONNX Runtime sessions on the configured device. Only workers import this module, since a run blocks the
 * thread that it is called on.
 */
import { InferenceSession, env } from 'onnxruntime-node';

import { messageOf } from '../../errors.js';
import type { Placement } from '../types.js';
import type { Feeds } from './batch-assembly.js';
import { cudaFailure } from './cuda-failure.js';
import { type Graph, ORT_TYPES, type WorkerSettings } from './protocol.js';

/** Threads that spin while they wait take the cores of other workers. See docs/adr/0026-narrow-workers-and-a-wide-one.md. */
const NO_SPINNING = { intra_op: { allow_spinning: '0' } };
/** The threads of a lone run wait that long, µs, for its next operator: waking them takes longer than most operators. */
const BRIEF_SPINNING = { intra_op: { allow_spinning: '1', spin_duration_us: '50' } };

export interface ProbeSession {
  readonly placement: Placement;
  /** Runs once and returns the values of the output. Blocks this thread. */
  run(feeds: Feeds): Promise<Float32Array>;
  release(): Promise<void>;
}

// A failed attempt to use CUDA would print a native error, although the fallback handles it.
env.logLevel = 'fatal';

/**
 * Opens a session, on the CPU if CUDA cannot be used.
 * @throws {Error} when the graph cannot be loaded, or is not as its manifest says.
 */
export async function openSession(graph: Graph, settings: WorkerSettings): Promise<ProbeSession> {
  const output = graph.output.name;
  const { session, ...placement } = await openOn(graph.model, settings).catch((cause: unknown) => {
    throw new Error(`model.onnx cannot be loaded: ${messageOf(cause)}`, { cause });
  });
  const wrong = mismatches(graph, session);
  if (wrong.length > 0) {
    await session.release();
    throw new Error(`model.onnx is not as probe.json says: ${wrong.join('; ')}`);
  }
  return {
    placement,
    // On CUDA, ONNX Runtime copies each input to the device, runs, and copies the scores back. See docs/adr/0018-cuda-per-batch.md.
    run: async (feeds) => {
      const results = await session.run(feeds as unknown as InferenceSession.FeedsType, [output]);
      return results[output]?.data as Float32Array;
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
): Promise<Placement & { readonly session: InferenceSession }> {
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

/** One sentence per difference between a manifest and its graph. */
function mismatches({ inputs, output }: Graph, session: InferenceSession): string[] {
  const undeclared = session.inputNames
    .filter((name) => !inputs.some((input) => input.name === name))
    .map((name) => `the graph needs an input "${name}" that probe.json does not declare`);
  return [
    ...inputs.flatMap((input) => valueMismatches(`input "${input.name}"`, input, session.inputMetadata)),
    ...valueMismatches(`output "${output.name}"`, output, session.outputMetadata),
    ...undeclared,
  ];
}

function valueMismatches(
  role: string,
  { name, dtype, shape }: Graph['inputs'][number] | Graph['output'],
  values: readonly InferenceSession.ValueMetadata[],
): string[] {
  const value = values.find((candidate) => candidate.name === name);
  if (!value) return [`the graph has no ${role}`];
  if (!value.isTensor) return [`the graph's ${role} is not a tensor`];
  const wrong: string[] = [];
  if (value.type !== ORT_TYPES[dtype])
    wrong.push(`the graph's ${role} is ${value.type}, not ${ORT_TYPES[dtype]}`);
  // A fixed axis must have the same size in both; a symbolic one must be symbolic in the graph, under any name.
  const axesAgree = shape.every((axis, index) =>
    typeof axis === 'number' ? value.shape[index] === axis : typeof value.shape[index] === 'string',
  );
  if (!axesAgree || shape.length !== value.shape.length)
    wrong.push(`the graph's ${role} has the shape [${value.shape.join(', ')}], not [${shape.join(', ')}]`);
  return wrong;
}
