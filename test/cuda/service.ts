/** A service on a device for the CUDA checks, and requests to it. */
import { type Server, startService } from '../../bench/processes/server.js';

export interface Answer {
  readonly status: number;
  readonly outcome: string;
  readonly provider: string;
  readonly version: number;
  readonly scores: readonly number[];
  readonly ms: number;
}

export interface DeviceService {
  readonly server: Server;
  score(body: Uint8Array): Promise<Answer>;
}

/** @throws {Error} with the service's last log lines when it does not start. */
export async function startOn(device: string, environment: NodeJS.ProcessEnv): Promise<DeviceService> {
  const server = await startService({ ...environment, DEVICE: device });
  const url = new URL('/score', server.url);
  const headers = { 'content-type': 'application/octet-stream' };
  const score = async (body: Uint8Array): Promise<Answer> => {
    const sentAt = performance.now();
    const answer = await fetch(url, { method: 'POST', body, headers });
    const { outcome, provider, version, results } = (await answer.json()) as Record<string, unknown>;
    const scores = ((results ?? []) as { score: number }[]).map((result) => result.score);
    return {
      status: answer.status,
      outcome: String(outcome),
      provider: String(provider),
      version: Number(version),
      scores,
      ms: performance.now() - sentAt,
    };
  };
  return { server, score };
}

/** Why the service does not start on the device, in its own words; undefined when it starts. */
export async function refusalOf(device: string, environment: NodeJS.ProcessEnv): Promise<string | undefined> {
  try {
    const { server } = await startOn(device, environment);
    await server.stop();
    return undefined;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return /cannot be used: ([^"\\;]+)/.exec(message)?.[1] ?? message;
  }
}

/** Why a service with DEVICE=auto uses the CPU; null when it does not. */
export async function fallbackOf(environment: NodeJS.ProcessEnv): Promise<string | null> {
  const { server } = await startOn('auto', environment);
  const answer = await fetch(new URL('/models', server.url));
  const { models } = (await answer.json()) as { models: { provider: string; fallback: string | null }[] };
  await server.stop();
  return models[0]?.fallback ?? null;
}
