/** What has been counted of one probe since the start, read from its Prometheus metrics. */
import type { ProbeVersion } from '../probe/locations.js';
import type { Instruments } from './instruments.js';
import { type Stage, STAGES } from './tracing.js';

export interface ProbeStatistics {
  /** Requests that got scores, and all others. */
  readonly scored: number;
  readonly unscored: number;
  /** Samples that got scores. */
  readonly samples: number;
  /** Runs of the probe. */
  readonly runs: number;
  /** The time of all requests in each stage, s. */
  readonly seconds: Readonly<Record<Stage, number>>;
}

interface Value {
  readonly value: number;
  readonly labels: Partial<Record<string, string | number>>;
  readonly metricName?: string;
}

export async function readStatistics(
  { scoreRequests, samples, batchSize, stageDuration }: Instruments,
  { name, version }: ProbeVersion,
): Promise<ProbeStatistics> {
  /** The values of a metric that are of the probe. */
  const valuesOf = async (metric: { get(): Promise<{ values: readonly Value[] }> }): Promise<Value[]> => {
    const { values } = await metric.get();
    return values.filter(({ labels }) => labels['model'] === name && labels['version'] === String(version));
  };
  const requests = await valuesOf(scoreRequests);
  const runs = await valuesOf(batchSize);
  const durations = await valuesOf(stageDuration);
  const seconds = STAGES.map((stage): [Stage, number] => [
    stage,
    sumOf(
      durations,
      ({ labels, metricName = '' }) => labels['stage'] === stage && metricName.endsWith('_sum'),
    ),
  ]);
  return {
    scored: sumOf(requests, isScored),
    unscored: sumOf(requests, (value) => !isScored(value)),
    samples: sumOf(await valuesOf(samples), isScored),
    runs: sumOf(runs, ({ metricName = '' }) => metricName.endsWith('_count')),
    seconds: Object.fromEntries(seconds) as Record<Stage, number>,
  };
}

function sumOf(values: readonly Value[], isMeant: (value: Value) => boolean): number {
  return values.filter(isMeant).reduce((sum, { value }) => sum + value, 0);
}

function isScored({ labels }: Value): boolean {
  return labels['outcome'] === 'scored';
}
