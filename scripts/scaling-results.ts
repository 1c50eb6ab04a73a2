/** Owns the form of bench/scaling.json: what one replica was measured to do. */

/** One load at one number of tokens. */
export interface ScalingPoint {
  readonly tokens: number;
  readonly load: 'single' | 'group';
  readonly bytesPerSample: number;
  readonly samplesPerSecond: number;
  /** Of the service's process, all threads. */
  readonly cpuMsPerSample: number;
  /** In the closed loop of so many connections. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface ScalingResults {
  readonly machine: string;
  /** What the reader of the figures should know. */
  readonly warning?: string | undefined;
  readonly cores: number;
  readonly connections: number;
  readonly probe: {
    readonly reference: string;
    readonly layers: number;
    readonly height: number;
    readonly width: number;
  };
  /** As GET /models tells it: a batch takes msPerPaddedToken · samples · tokens + msPerRun on one worker. */
  readonly costLine: {
    readonly msPerPaddedToken: number;
    readonly msPerRun: number;
    readonly bestSamples: number;
  };
  readonly points: readonly ScalingPoint[];
  /** Time series that Prometheus keeps of one replica. */
  readonly series: number;
  /** Resident memory at the end. */
  readonly residentBytes: number;
}
