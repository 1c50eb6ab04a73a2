/** Makes Prometheus instruments with the prefix of this service, in a given registry. */
import {
  Counter,
  type CounterConfiguration,
  Gauge,
  Histogram,
  type HistogramConfiguration,
  type Registry,
} from 'prom-client';

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
    /** For label sets that cannot be known before their first count. */
    lateCounter: <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new LateCounter<Label>({ name: PREFIX + name, help, labelNames, registers }),
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

/**
 * A counter whose label sets cannot be known beforehand. A new one is scraped at zero first, and its counts so far show at the
 * next scrape: PromQL's `increase` misses what a series begins with.
 */
export class LateCounter<Label extends string> extends Counter<Label> {
  readonly #labelNames: readonly Label[];
  readonly #scraped = new Set<string>();
  /** What is counted of label sets that were not scraped yet. */
  readonly #held = new Map<string, { readonly labels: Readonly<Record<Label, string>>; value: number }>();

  constructor(configuration: CounterConfiguration<Label> & { readonly labelNames: Label[] }) {
    super(configuration);
    this.#labelNames = configuration.labelNames;
  }

  add(labels: Readonly<Record<Label, string>>, value = 1): void {
    const key = this.#labelNames.map((name) => labels[name]).join('\n');
    if (this.#scraped.has(key)) return this.inc(labels, value);
    const held = this.#held.get(key) ?? { labels, value: 0 };
    held.value += value;
    this.#held.set(key, held);
    this.inc(labels, 0);
  }

  override async get() {
    const scraped = await super.get();
    const values = scraped.values.map((value) => ({ ...value }));
    for (const [key, { labels, value }] of this.#held) {
      this.#scraped.add(key);
      this.inc(labels, value);
    }
    this.#held.clear();
    return { ...scraped, values };
  }
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
