/** Owns how long and how often everything is measured. */

export interface Plan {
  /** To the service, of one token: V8 compiles what runs often, and that depends on how often and not on how long. */
  readonly warmUpRequests: number;
  /** Each combination of layout and batch size of the raw runs. */
  readonly rawSeconds: number;
  /** Rounds in which raw, service and peers take turns. */
  readonly rounds: number;
  /** Each turn in a round. */
  readonly turnSeconds: number;
  /** The closed loops that take part in no ratio. */
  readonly closedSeconds: number;
  /** The closed loop before each open one. */
  readonly capacitySeconds: number;
  readonly openSeconds: number;
  /** Repetitions of the open loops that are figures. */
  readonly repeats: number;
  /** Requests after which the memory is read. */
  readonly memoryAfter: readonly [number, number];
  /** The memory figure is only what it is called after that many requests. */
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
/** Of the capacity, in per cent. */
export const OPEN_LOADS = [25, 50, 75, 90, 200] as const;
/** The load whose p99 is a figure. */
export const LATENCY_LOAD = 75;
/** The load beyond capacity, at which requests say how long they are worth an answer. */
export const OVERLOAD = 200;
export const DEADLINE_MS = 50;
export const BATCH_SIZES = [1, 2, 4, 8] as const;
export const PEER_WORKERS = [1, 2] as const;
/** Of the first arrival schedule; further ones count on. */
export const FIRST_SEED = 1;
