/** Makes Prometheus instruments with the prefix of this service, in a given registry. */
import { Counter, Gauge, Histogram, type HistogramConfiguration, type Registry } from 'prom-client';

const PREFIX = 'diffusion_probe_';

/** Bounds of buckets that reach as far as the values may: each bound beyond the given ones is twice the one before it. */
export function bucketsUpTo(bounds: readonly number[], largest: number): number[] {
  const all = [...bounds];
  for (let last = all.at(-1) ?? 1; last < largest; last *= 2) all.push(last * 2);
  return all;
}

/** Makers of instruments by name (without the prefix), help and labels. */
export function instrumentFactory(registry: Registry) {
  const registers = [registry];
  return {
    counter: <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Counter<Label>({ name: PREFIX + name, help, labelNames, registers }),
    gauge: <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Gauge<Label>({ name: PREFIX + name, help, labelNames, registers }),
    histogram: <Label extends string>(
      name: string,
      help: string,
      buckets: number[],
      ...labelNames: Label[]
    ) => new ZeroStartHistogram<Label>({ name: PREFIX + name, help, buckets, labelNames, registers }),
    /** A gauge that is read at each scrape. */
    gaugeOnScrape: (name: string, help: string, read: () => number) => {
      const collect = function (this: Gauge) {
        this.set(read());
      };
      return new Gauge({ name: PREFIX + name, help, registers, collect });
    },
  };
}

/** A histogram whose label sets can be started at zero without losing counts: prom-client's `zero` resets them. */
export class ZeroStartHistogram<Label extends string> extends Histogram<Label> {
  readonly #labelNames: readonly Label[];
  readonly #started = new Set<string>();

  constructor(configuration: HistogramConfiguration<Label> & { readonly labelNames: Label[] }) {
    super(configuration);
    this.#labelNames = configuration.labelNames;
  }

  /** Starts a label set at zero, once. Must come before the first `observe` of the label set. */
  startAtZero(labels: Readonly<Record<Label, string | number>>): void {
    const key = this.#labelNames.map((name) => labels[name]).join('\n');
    if (this.#started.has(key)) return;
    this.#started.add(key);
    this.zero(labels);
  }
}
