/** Owns what is said to the raw runner and its threads, and what they answer. */

/** `default`: one session with ONNX Runtime's own options. `service`: one session per core, each with one thread, as the service has. */
export type Layout = 'default' | 'service';

export const LAYOUTS: readonly Layout[] = ['default', 'service'];

export interface RunOrder {
  readonly kind: 'run';
  readonly layout: Layout;
  /** How many of the layout's sessions run at the same time; all when left out. */
  readonly sessions?: number;
  readonly batch: number;
  readonly seconds: number;
}

/** Asks for the scores of all the samples, to compare. */
export interface ScoresOrder {
  readonly kind: 'scores';
}

export type RawOrder = RunOrder | ScoresOrder;

export interface RawResult {
  readonly samplesPerSecond: number;
  readonly samples: number;
  /** Of one run, the median, ms. */
  readonly runMs: number;
  readonly scores: readonly number[];
}

export interface RawTalk {
  readonly order: RawOrder;
  readonly answer: RawResult;
}

/** To a thread. */
export interface ThreadOrder {
  readonly batch: number;
  readonly seconds: number;
}

/** From a thread. */
export interface ThreadResult {
  readonly samples: number;
  readonly seconds: number;
  readonly runMs: number;
  /** Of the last run. */
  readonly scores: readonly number[];
}

/** What a thread is started with. */
export interface ThreadSettings {
  readonly layout: Layout;
  readonly modelPath: string;
  readonly output: string;
  readonly examplePath: string;
}
