/** Measures one load on a server, or one kind of raw runs. */
import type { BenchTools } from './command.js';
import { cpuSeconds, nowMs } from './machine.js';
import type { Plan } from './plan.js';
import type { Child } from './processes/child.js';
import type { Server } from './processes/server.js';
import type {
  ClosedLoop,
  Load,
  LoadCall,
  LoadResult,
  OpenLoop,
  RawCall,
  RawRequest,
  RawResult,
  Target,
} from './protocol.js';

/** The service or a peer. */
export interface MeasuredServer {
  /** The name in the tables. */
  readonly name: string;
  readonly target: Target;
  readonly server: Server;
}

/** The service, asked by the Open Inference Protocol. */
export function byProtocol(service: MeasuredServer): MeasuredServer {
  return { ...service, target: { ...service.target, kind: 'protocol' } };
}

export interface BenchContext extends Pick<BenchTools, 'environment' | 'onProgress' | 'cleanup'> {
  readonly plan: Plan;
  readonly service: MeasuredServer;
  /** The node:http server, and without Python no other. */
  readonly peers: readonly MeasuredServer[];
  readonly generator: Child<LoadCall>;
  readonly raw: Child<RawCall>;
  /** The request body that the samples are from. */
  readonly examplePath: string;
}

export interface LoadMeasurement extends LoadResult {
  /** The time of the load, and the CPU times during it. */
  readonly wallSeconds: number;
  readonly serverCpuSeconds: number;
  readonly generatorCpuSeconds: number;
  readonly server: string;
  readonly load: Load;
  /** The arrivals in the tables, such as `closed, 16 conn.` */
  readonly arrivals: string;
  readonly samplesPerSecond: number;
  readonly serverCpuPerSample: number;
}

export interface RawMeasurement extends RawResult {
  readonly request: RawRequest;
  readonly cpuPerSample: number;
}

export type LoadPlan = Omit<ClosedLoop, 'target'> | Omit<OpenLoop, 'target'>;

export async function measureLoad(
  { generator }: Pick<BenchContext, 'generator'>,
  { name, target, server }: MeasuredServer,
  plan: LoadPlan,
  arrivals: string,
): Promise<LoadMeasurement> {
  const before = { wall: nowMs(), server: cpuSeconds(server.pid), generator: cpuSeconds(generator.pid) };
  const result = await generator.call({ ...plan, target });
  const serverCpuSeconds = cpuSeconds(server.pid) - before.server;
  return {
    ...result,
    server: name,
    load: plan.load,
    arrivals,
    wallSeconds: (nowMs() - before.wall) / 1000,
    serverCpuSeconds,
    generatorCpuSeconds: cpuSeconds(generator.pid) - before.generator,
    samplesPerSecond: result.samples / result.seconds,
    serverCpuPerSample: serverCpuSeconds / result.samples,
  };
}

/** @throws {Error} when nothing was scored. */
export async function measureClosed(
  context: Pick<BenchContext, 'generator'>,
  measured: MeasuredServer,
  load: Load,
  connections: number,
  seconds: number,
): Promise<LoadMeasurement> {
  const plan: LoadPlan = { kind: 'closed', load, connections, until: { seconds } };
  const measurement = await measureLoad(context, measured, plan, `closed, ${connections} conn.`);
  if (measurement.useful === 0)
    throw new Error(`${measured.name} scored nothing in ${measurement.sent} requests`);
  return measurement;
}

export async function measureRaw({ raw }: BenchContext, request: RawRequest): Promise<RawMeasurement> {
  const before = cpuSeconds(raw.pid);
  const result = await raw.call(request);
  return { ...result, request, cpuPerSample: (cpuSeconds(raw.pid) - before) / result.samples };
}
