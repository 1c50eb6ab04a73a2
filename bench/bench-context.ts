/** Owns what all measuring works with: the processes, and how one run of them is measured. */
import { nowMs } from './clock.js';
import type { ClosedOrder, Load, LoadResult, LoadTalk, OpenOrder, Target } from './load/protocol.js';
import type { Plan } from './plan.js';
import type { OrderTaker } from './processes/orders.js';
import type { Server } from './processes/server.js';
import { cpuSeconds } from './processes/usage.js';
import type { RawResult, RawTalk, RunOrder } from './raw/protocol.js';

/** A server under load: the service or a peer. */
export interface Rival {
  /** As tables call it. */
  readonly name: string;
  readonly target: Target;
  readonly server: Server;
}

export interface BenchContext {
  readonly plan: Plan;
  readonly service: Rival;
  readonly peers: readonly Rival[];
  readonly generator: OrderTaker<LoadTalk>;
  readonly raw: OrderTaker<RawTalk>;
  /** Says what is measured now. */
  readonly tell: (line: string) => void;
}

/** What one run used of the machine, s. */
export interface Usage {
  readonly wallSeconds: number;
  readonly serverCpuSeconds: number;
  readonly generatorCpuSeconds: number;
}

export interface LoadRun extends LoadResult, Usage {
  readonly rival: string;
  readonly load: Load;
  /** As tables call it: `closed, 16 connections`. */
  readonly arrivals: string;
  readonly samplesPerSecond: number;
  readonly serverCpuPerSample: number;
}

export interface RawRun extends RawResult {
  readonly order: RunOrder;
  readonly cpuPerSample: number;
}

/** An order to the load generator, but for whom the requests go to. */
export type LoadPlan = Omit<ClosedOrder, 'target'> | Omit<OpenOrder, 'target'>;

export async function measureLoad(
  { generator }: BenchContext,
  { name, target, server }: Rival,
  plan: LoadPlan,
  arrivals: string,
): Promise<LoadRun> {
  const before = { wall: nowMs(), server: cpuSeconds(server.pid), generator: cpuSeconds(generator.pid) };
  const result = await generator.ask({ ...plan, target });
  const serverCpuSeconds = cpuSeconds(server.pid) - before.server;
  return {
    ...result,
    rival: name,
    load: plan.load,
    arrivals,
    wallSeconds: (nowMs() - before.wall) / 1000,
    serverCpuSeconds,
    generatorCpuSeconds: cpuSeconds(generator.pid) - before.generator,
    samplesPerSecond: result.samples / result.seconds,
    serverCpuPerSample: serverCpuSeconds / result.samples,
  };
}

/** @throws {Error} when nothing was scored: whatever the machine, that is no result. */
export async function measureClosed(
  context: BenchContext,
  rival: Rival,
  load: Load,
  connections: number,
  seconds: number,
): Promise<LoadRun> {
  const plan: LoadPlan = { kind: 'closed', load, connections, until: { seconds } };
  const run = await measureLoad(context, rival, plan, `closed, ${connections} conn.`);
  if (run.useful === 0) throw new Error(`${rival.name} scored nothing in ${run.sent} requests`);
  return run;
}

export async function measureRaw({ raw }: BenchContext, order: RunOrder): Promise<RawRun> {
  const before = cpuSeconds(raw.pid);
  const result = await raw.ask(order);
  return { ...result, order, cpuPerSample: (cpuSeconds(raw.pid) - before) / result.samples };
}
