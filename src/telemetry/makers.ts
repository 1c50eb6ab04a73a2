/** Owns how instruments are made: the prefix of their names, and the registry that they belong to. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

const PREFIX = 'diffusion_probe_';

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
