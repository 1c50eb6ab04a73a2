/** How long and how often everything is measured. */

export interface Plan {
  /** Requests of one token. A number and not a time, because V8 compiles code after it has run often enough. */
  readonly warmUpRequests: number;
  /** For each combination of layout and batch size. */
  readonly rawSeconds: number;
  /** Rounds in which raw, service and peers take turns, starts, and turns of each request of the event loop's figure. */
  readonly rounds: number;
  /** Each turn in a round. */
  readonly turnSeconds: number;
  /** For the closed loop before the flood. */
  readonly closedSeconds: number;
  /** For the closed loop before each open loop. */
  readonly capacitySeconds: number;
  /** For each open loop, and for the polite client alone. */
  readonly openSeconds: number;
  /** Repetitions of the open loops that figures are computed from. */
  readonly repeats: number;
  /** Requests after which the memory is read. */
  readonly memoryAfter: readonly [number, number];
  /** How long the polite client is measured beside the flood. */
  readonly floodSeconds: number;
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
  floodSeconds: 30,
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
  floodSeconds: 4,
  isMemoryFull: false,
};

/** The closed loops of the rounds, on the service and on each peer: what is sent, over how many connections. */
export const TURNS = {
  singles: ['single', 16],
  single: ['single', 1],
  group: ['group', 1],
  groups: ['group', 4],
} as const;
export type Turn = keyof typeof TURNS;
/** The connections at which the capacity is measured. */
export const CAPACITY_CONNECTIONS = 16;
/** In per cent of the capacity. Above 100, requests have a deadline. */
export const OPEN_LOADS = { single: [50, 75, 90, 110, 200], group: [75, 200] } as const;
/** The loads that figures are computed from. */
export const FIGURE_LOADS: ReadonlySet<number> = new Set([75, 110, 200]);
/** The load whose p99 is compared with a peer's. */
export const LATENCY_LOAD = 75;
export const DEADLINE_MS = 50;
export const BATCH_SIZES = [1, 2, 4, 8] as const;
/** The name of the node:http server in the tables. */
export const NODE_PEER = 'node:http';
export const PEER_WORKERS = [1, 2] as const;
/** The seed of the first schedule of arrivals; later ones count up. */
export const FIRST_SEED = 1;
