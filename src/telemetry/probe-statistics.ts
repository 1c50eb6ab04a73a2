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
  const sumOf = async (
    metric: { get(): Promise<{ values: readonly Value[] }> },
    isMeant: (value: Value) => boolean,
  ) => {
    const { values } = await metric.get();
    return values
      .filter(
        (entry) =>
          entry.labels['model'] === name && entry.labels['version'] === String(version) && isMeant(entry),
      )
      .reduce((sum, { value }) => sum + value, 0);
  };
  const isScored = ({ labels }: Value): boolean => labels['outcome'] === 'scored';
  const seconds = STAGES.map(async (stage): Promise<[Stage, number]> => {
    const isStage = ({ labels, metricName = '' }: Value) =>
      labels['stage'] === stage && metricName.endsWith('_sum');
    return [stage, await sumOf(stageDuration, isStage)];
  });
  return {
    scored: await sumOf(scoreRequests, isScored),
    unscored: await sumOf(scoreRequests, (value) => !isScored(value)),
    samples: await sumOf(samples, isScored),
    runs: await sumOf(batchSize, ({ metricName = '' }) => metricName.endsWith('_count')),
    seconds: Object.fromEntries(await Promise.all(seconds)) as Record<Stage, number>,
  };
}
