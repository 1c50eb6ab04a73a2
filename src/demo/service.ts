/** Owns where the demo's decisions come from: the service that is running already, or one started for the occasion. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

import { request } from 'undici';
import * as z from 'zod';

const PROBE_TIMEOUT_MS = 2000;
const START_TIMEOUT_MS = 60_000;
const MAIN_MODULE = new URL('../main.js', import.meta.url);

/** What the demo needs to know of a probe. */
const servedSchema = z.object({
  models: z.array(
    z.object({
      name: z.string(),
      version: z.int(),
      state: z.string(),
      contract: z
        .object({
          capture: z.looseObject({ layers: z.array(z.string()) }),
          capture_id: z.string(),
          inputs: z.array(
            z.object({
              name: z.string(),
              dtype: z.enum(['F16', 'F32', 'U8', 'I64']),
              shape: z.array(z.union([z.int(), z.literal('batch'), z.literal('tokens')])),
            }),
          ),
          decision_points: z.array(z.object({ step: z.int(), timestep: z.number(), tolerance: z.number() })),
        })
        .nullable(),
    }),
  ),
});

export type ProbeContract = NonNullable<z.infer<typeof servedSchema>['models'][number]['contract']>;

export interface Service {
  readonly url: string;
  /** Ends the service if it was started here. */
  stop(): Promise<void>;
}

/** The service at `url` if one answers there, else a new one on a free port. */
export async function findOrStartService(
  url: string,
  environment: NodeJS.ProcessEnv,
  tell: (line: string) => void,
): Promise<Service> {
  if (await answers(url)) return { url, stop: async () => {} };
  tell(`no service answers at ${url}: starting one`);
  return startService(environment);
}

/**
 * The contract of the probe that `model` means, `name` or `name@version`; the serving one where it is left out.
 * @throws {Error} when there is none.
 */
export async function fetchContract(url: string, model: string | undefined): Promise<ProbeContract> {
  const { body } = await request(new URL('/models', url), { headersTimeout: PROBE_TIMEOUT_MS });
  const { models } = servedSchema.parse(await body.json());
  const [name, version] = model?.split('@') ?? [];
  const found = models.find(
    (candidate) =>
      candidate.contract !== null &&
      (name === undefined || candidate.name === name) &&
      (version === undefined ? candidate.state === 'serving' : candidate.version === Number(version)),
  );
  if (found?.contract) return found.contract;
  throw new Error(`the service at ${url} serves no probe ${model ?? ''}`.trimEnd());
}

async function answers(url: string): Promise<boolean> {
  try {
    const { statusCode, body } = await request(new URL('/livez', url), {
      headersTimeout: PROBE_TIMEOUT_MS,
      bodyTimeout: PROBE_TIMEOUT_MS,
    });
    await body.dump();
    return statusCode === 200;
  } catch {
    return false;
  }
}

async function startService(environment: NodeJS.ProcessEnv): Promise<Service> {
  const child = spawn(process.execPath, ['--enable-source-maps', MAIN_MODULE.pathname], {
    env: { ...environment, PORT: '0', HOST: '127.0.0.1', LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
  };
  try {
    return { url: await listeningUrl(child), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Waits for the log line that says where the service listens. */
async function listeningUrl(child: ChildProcessByStdio<null, Readable, null>): Promise<string> {
  const timer = setTimeout(() => child.kill('SIGTERM'), START_TIMEOUT_MS);
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const url = readListening(line);
      if (url === undefined) continue;
      child.stdout.resume();
      return url;
    }
  } finally {
    clearTimeout(timer);
  }
  throw new Error('the service did not start');
}

function readListening(line: string): string | undefined {
  try {
    const entry = JSON.parse(line) as { msg?: string; url?: string };
    return entry.msg === 'listening' ? entry.url : undefined;
  } catch {
    return undefined;
  }
}
