/** Owns how instruments are made: the prefix of their names, and the registry that they belong to. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

const PREFIX = 'diffusion_probe_';
/** Stands in no label. */
const SEPARATOR = '\n';

export type Makers = ReturnType<typeof makersFor>;

/** Makers of instruments by name (without the prefix), help and labels. */
export function makersFor(registry: Registry) {
  const registers = [registry];
  return {
    counter: <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Counter<Label>({ name: `${PREFIX}${name}`, help, labelNames, registers }),
    gauge: <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Gauge<Label>({ name: `${PREFIX}${name}`, help, labelNames, registers }),
    histogram: <Label extends string>(
      name: string,
      help: string,
      buckets: number[],
      ...labelNames: Label[]
    ) => new Histogram<Label>({ name: `${PREFIX}${name}`, help, buckets, labelNames, registers }),
    /** A gauge that is read at each scrape. */
    gaugeOnScrape: (name: string, help: string, read: () => number) => {
      const gauge = new Gauge({
        name: `${PREFIX}${name}`,
        help,
        registers: [],
        collect() {
          this.set(read());
        },
      });
      registry.registerMetric(gauge);
    },
  };
}

/**
 * Starts label sets of a histogram at zero, each once: prom-client's own `zero` would forget what was counted already.
 * To be called before each `observe` too, lest the label set is started after it.
 */
export function startingAtZero<Label extends string>(
  histogram: Histogram<Label>,
  ...labelNames: Label[]
): (labels: Record<Label, string | number>) => void {
  const started = new Set<string>();
  return (labels) => {
    const key = labelNames.map((label) => labels[label]).join(SEPARATOR);
    if (started.has(key)) return;
    started.add(key);
    const texts = labelNames.map((label) => [label, String(labels[label])]);
    histogram.zero(Object.fromEntries(texts) as Record<Label, string>);
  };
}
