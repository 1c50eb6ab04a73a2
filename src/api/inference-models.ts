/** How the Open Inference Protocol describes a probe: its metadata, its configuration and its statistics. */
import type { Engine, ServedProbe } from '../engine/types.js';
import type { ManifestInput } from '../probe/manifest.js';
import type { ProbeStatistics } from '../telemetry/probe-statistics.js';
import { DATATYPES, type Datatype } from '../wire/inference-inputs.js';
import type { OutputTensor } from '../wire/inference-protocol.js';
import type { ScoreLimits } from './score-pipeline.js';
import type { ScoreResult } from './score-schemas.js';

const PLATFORM = 'onnxruntime_onnx';
const NS_PER_SECOND = 1e9;

interface Output {
  readonly name: string;
  readonly datatype: OutputTensor['datatype'];
  readonly valueOf: (result: ScoreResult) => number | null;
  /** The value of a sample without score, which is kept. */
  readonly unscored: number | null;
}

/** The outputs of every probe, one value per sample. */
export const OUTPUTS: readonly Output[] = [
  { name: 'score', datatype: 'FP32', valueOf: ({ score }) => score, unscored: null },
  {
    name: 'decision',
    datatype: 'UINT8',
    valueOf: ({ decision }) => Number(decision === 'keep'),
    unscored: 1,
  },
  { name: 'rank', datatype: 'INT32', valueOf: ({ rank }) => rank, unscored: 0 },
  { name: 'percentile', datatype: 'FP32', valueOf: ({ percentile }) => percentile, unscored: null },
  { name: 'p_good', datatype: 'FP32', valueOf: ({ p_good }) => p_good, unscored: null },
  { name: 'threshold', datatype: 'FP32', valueOf: ({ threshold }) => threshold, unscored: null },
];

export function describeModel({ name, manifest }: ServedProbe, engine: Pick<Engine, 'probes'>) {
  const loaded = engine.probes().filter((status) => status.name === name && status.probe !== undefined);
  return {
    name,
    versions: loaded.map(({ version }) => String(version)),
    platform: PLATFORM,
    inputs: manifest.inputs.map(({ name: input, dtype, shape }) => ({
      name: input,
      datatype: datatypeOf(dtype),
      shape: dimsOf(shape),
    })),
    outputs: OUTPUTS.map(({ name: output, datatype }) => ({ name: output, datatype, shape: [-1] })),
  };
}

/** As Triton's ModelConfig. The batch is no dimension of it. */
export function describeConfig({ name, manifest }: ServedProbe, { maxSamplesPerRequest }: ScoreLimits) {
  return {
    name,
    platform: PLATFORM,
    backend: 'onnxruntime',
    max_batch_size: maxSamplesPerRequest,
    input: manifest.inputs.map(({ name: input, dtype, shape }) => ({
      name: input,
      data_type: `TYPE_${datatypeOf(dtype)}`,
      dims: dimsOf(shape.slice(1)),
    })),
    output: OUTPUTS.map(({ name: output, datatype }) => ({
      name: output,
      data_type: `TYPE_${datatype}`,
      dims: [],
    })),
  };
}

/** As Triton's ModelStatistics. What is sent is what is read, so nothing is cached. */
export function describeStatistics({ name, version }: ServedProbe, statistics: ProbeStatistics) {
  const { scored, unscored, samples, runs, seconds } = statistics;
  const spent = (total: number, count = scored) => ({ count, ns: Math.round(total * NS_PER_SECOND) });
  return {
    name,
    version: String(version),
    last_inference: 0,
    inference_count: samples,
    execution_count: runs,
    inference_stats: {
      success: spent(seconds.total),
      fail: spent(0, unscored),
      queue: spent(seconds.queue),
      compute_input: spent(seconds.decode),
      compute_infer: spent(seconds.inference),
      compute_output: spent(seconds.decision),
      cache_hit: spent(0, 0),
      cache_miss: spent(0, 0),
    },
    batch_stats: [],
  };
}

function datatypeOf(dtype: ManifestInput['dtype']): Datatype {
  const found = Object.entries(DATATYPES).find(([, own]) => own === dtype);
  return (found?.[0] ?? 'FP32') as Datatype;
}

function dimsOf(shape: ManifestInput['shape']): number[] {
  return shape.map((axis) => (typeof axis === 'number' ? axis : -1));
}
