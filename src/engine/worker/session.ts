/**
 * Owns everything that touches ONNX Runtime: opening a session where the device says, and running it.
 * The service's only module that imports onnxruntime-node; its runs block the thread they are called on, so workers
 * alone load it.
 */
import { InferenceSession, env } from 'onnxruntime-node';

import type { Feed } from './batch.js';
import type { GraphValue, LoadOrder, LoadReply, WorkerSettings } from './protocol.js';
import { messageOf } from '../../errors.js';
import type { Device, Provider } from '../types.js';

const ORT_TYPES = { F16: 'float16', F32: 'float32', U8: 'uint8', I64: 'int64' } as const;

/** CUDA was asked for by name and cannot be had, though the probe itself is sound. */
export class DeviceUnavailableError extends Error {}

type SessionThreads = Pick<WorkerSettings, 'intraOpThreads'> & Pick<LoadOrder, 'allCores'>;
export type SessionSettings = SessionThreads & Pick<WorkerSettings, 'device'>;

/** Threads that spin while they wait take the core that the HTTP thread needs, for little gain in latency. */
const NO_SPINNING = { intra_op: { allow_spinning: '0' } };
/** To be woken for each operator of a graph would take longer than most of them do. */
const SPINNING_DURING_RUNS = { intra_op: { allow_spinning: '1' }, force_spinning_stop: '1' };

export interface ProbeSession {
  readonly about: LoadReply;
  /** Runs once and gives the named output's values. Blocks this thread. */
  run(feeds: Readonly<Record<string, Feed>>): Promise<Float32Array>;
  release(): Promise<void>;
}

// A failed try at CUDA would print a native error although the fallback is the answer to it.
env.logLevel = 'fatal';

/**
 * Opens a session on a graph held in memory.
 * @throws {DeviceUnavailableError} when the device is CUDA by name and is not there.
 * @throws {Error} when the graph itself cannot be loaded.
 */
export async function openSession(
  model: Uint8Array,
  output: string,
  { device, ...threads }: SessionSettings,
): Promise<ProbeSession> {
  const { session, provider, fallback } = await openOn(device, model, threads);
  return {
    about: {
      provider,
      ...(fallback === undefined ? {} : { fallback }),
      inputs: session.inputMetadata.map(graphValue),
      outputs: session.outputMetadata.map(graphValue),
    },
    run: async (feeds) => {
      const results = await session.run(toOrt(feeds), [output]);
      const values = results[output]?.data;
      if (!(values instanceof Float32Array))
        throw new TypeError(`the graph's output ${output} is not float32`);
      return values;
    },
    release: () => session.release(),
  };
}

interface Opened {
  readonly session: InferenceSession;
  readonly provider: Provider;
  readonly fallback?: string;
}

/**
 * ONNX Runtime does not fall back by itself: asking for ['cuda', 'cpu'] throws where CUDA cannot load.
 * A graph that opens on the CPU after CUDA failed shows that the device was at fault and not the graph.
 */
async function openOn(device: Device, model: Uint8Array, threads: SessionThreads): Promise<Opened> {
  const onCpu = (): Promise<InferenceSession> => create(model, 'cpu', threads);
  if (device === 'cpu') return { session: await onCpu(), provider: 'cpu' };
  try {
    return { session: await create(model, cudaProvider(device), threads), provider: 'cuda' };
  } catch (error) {
    const session = await onCpu();
    const fallback = messageOf(error);
    if (device === 'auto') return { session, provider: 'cpu', fallback };
    await session.release();
    throw new DeviceUnavailableError(`device ${device} cannot be used: ${fallback}`, { cause: error });
  }
}

function cudaProvider(device: Device): { name: 'cuda'; deviceId: number } {
  const [, index = '0'] = device.split(':');
  return { name: 'cuda', deviceId: Number(index) };
}

function create(
  model: Uint8Array,
  provider: 'cpu' | { name: 'cuda'; deviceId: number },
  { intraOpThreads, allCores }: SessionThreads,
): Promise<InferenceSession> {
  return InferenceSession.create(model, {
    executionProviders: [provider],
    graphOptimizationLevel: 'all',
    intraOpNumThreads: allCores ?? intraOpThreads,
    interOpNumThreads: 1,
    extra: { session: allCores === undefined ? NO_SPINNING : SPINNING_DURING_RUNS },
  });
}

/**
 * Plain objects instead of ort.Tensor: from Node 24 on a float16 Tensor loses its data on the way to the binding,
 * which takes plain objects for every type. https://github.com/microsoft/onnxruntime/issues/26791
 */
function toOrt(feeds: Readonly<Record<string, Feed>>): InferenceSession.FeedsType {
  const plain: Record<string, object> = {};
  for (const [name, { dtype, dims, data }] of Object.entries(feeds)) {
    plain[name] = { type: ORT_TYPES[dtype], dims, data, location: 'cpu' };
  }
  // See above: these are deliberately no Tensors.
  return plain as unknown as InferenceSession.FeedsType;
}

function graphValue(value: InferenceSession.ValueMetadata): GraphValue {
  return value.isTensor
    ? { name: value.name, type: value.type, shape: value.shape }
    : { name: value.name, type: 'not a tensor', shape: [] };
}
