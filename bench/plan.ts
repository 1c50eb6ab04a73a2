/** How long and how often everything is measured. */

export interface Plan {
  /** Requests of one token. A number and not a time, because V8 compiles code after it has run often enough. */
  readonly warmUpRequests: number;
  /** For each combination of layout and batch size. */
  readonly rawSeconds: number;
  /** Rounds in which raw, service and peers take turns. */
  readonly rounds: number;
  /** Each turn in a round. */
  readonly turnSeconds: number;
  /** For each closed loop outside the rounds. */
  readonly closedSeconds: number;
  /** For the closed loop before each open loop. */
  readonly capacitySeconds: number;
  readonly openSeconds: number;
  /** Repetitions of the open loops that figures are computed from. */
  readonly repeats: number;
  /** Requests after which the memory is read. */
  readonly memoryAfter: readonly [number, number];
  /** Whether `memoryAfter` is long enough for the figure rss_ratio. */
  readonly isMemoryFull: boolean;
}

export const FULL_PLAN: Plan = {
  warmUpRequests: 8000,
  rawSeconds: 0.6,
  rounds: 5,
  turnSeconds: 1.5,
  closedSeconds: 2,
  capacitySeconds: 1,
  openSeconds: 5,
  repeats: 3,
  memoryAfter: [10_000, 100_000],
  isMemoryFull: true,
};

export const QUICK_PLAN: Plan = {
  warmUpRequests: 1000,
  rawSeconds: 0.3,
  rounds: 2,
  turnSeconds: 0.6,
  closedSeconds: 0.6,
  capacitySeconds: 0.6,
  openSeconds: 1.5,
  repeats: 1,
  memoryAfter: [1000, 5000],
  isMemoryFull: false,
};

export const CONNECTIONS = [1, 4, 16, 64] as const;
/** The connections at which ratios are computed. */
export const RATIO_CONNECTIONS = 16;
/** In per cent of the capacity. */
export const OPEN_LOADS = [25, 50, 75, 90, 200] as const;
/** The load whose p99 is a figure. */
export const LATENCY_LOAD = 75;
/** The load beyond capacity, whose requests have a deadline. */
export const OVERLOAD = 200;
export const DEADLINE_MS = 50;
export const BATCH_SIZES = [1, 2, 4, 8] as const;
export const PEER_WORKERS = [1, 2] as const;
/** The seed of the first schedule of arrivals; later ones count up. */
export const FIRST_SEED = 1;
