/** Finds the probe that the demo asks among those of a service. */
import * as z from 'zod';

import { planSchema } from '../../src/probe/plan.js';

/** The demo's backbone, as manifests name it. */
export const BACKBONE = 'pictogram';
const ANSWER_TIMEOUT_MS = 2000;

const contractSchema = z.object({
  backbone: z.string(),
  capture: z.looseObject({ layers: z.array(z.string()) }),
  capture_id: z.string(),
  inputs: z.array(
    z.object({
      name: z.string(),
      dtype: z.enum(['F16', 'F32', 'U8', 'I64']),
      shape: z.array(z.union([z.int(), z.literal('batch'), z.literal('tokens')])),
    }),
  ),
  decision_points: z.array(z.object({ step: z.int() })),
  plans: z.array(planSchema.pick({ budget: true, seeds: true, keep: true, expected: true })).default([]),
});

const modelsSchema = z.object({
  models: z.array(
    z.object({
      name: z.string(),
      version: z.int(),
      state: z.enum(['serving', 'available', 'refused']),
      contract: contractSchema.nullable(),
    }),
  ),
});

type Model = z.infer<typeof modelsSchema>['models'][number];

/** A probe that a service can score with. */
export interface ServedProbe {
  /** The address of its service. */
  readonly url: string;
  /** `name@version` */
  readonly reference: string;
  /** The members of its manifest that the demo needs. */
  readonly contract: z.infer<typeof contractSchema>;
}

/** The service serves no probe of the given name. */
export class UnknownProbeError extends Error {}

/**
 * @param model `name` or `name@version`; when undefined, the serving probe for the demo's backbone.
 * @throws {UnknownProbeError} when `model` is given and is not served.
 * @throws {Error} when the service does not list its probes, or has none for the backbone.
 */
export async function findProbe(
  url: string,
  model: string | undefined,
  timeoutMs = ANSWER_TIMEOUT_MS,
): Promise<ServedProbe> {
  const models = (await listModels(url, timeoutMs)).filter(({ state }) => state !== 'refused');
  const found = models.find((candidate) => isMatch(candidate, model));
  if (found?.contract) return { url, reference: `${found.name}@${found.version}`, contract: found.contract };
  const known = models.map(({ name, version }) => `${name}@${version}`).join(', ') || 'none';
  if (model !== undefined)
    throw new UnknownProbeError(`there is no probe ${model} at ${url}; it serves: ${known}`);
  throw new Error(`the service at ${url} has no probe for ${BACKBONE}; it serves: ${known}`);
}

function isMatch({ name, version, state, contract }: Model, model: string | undefined): boolean {
  if (model === undefined) return state === 'serving' && contract?.backbone === BACKBONE;
  return model === `${name}@${version}` || (model === name && state === 'serving');
}

async function listModels(url: string, timeoutMs: number): Promise<Model[]> {
  const signal = AbortSignal.timeout(timeoutMs);
  const response = await fetch(`${url.replace(/\/+$/, '')}/models`, { signal }).catch((cause: unknown) => {
    throw new Error(`no service answers at ${url}`, { cause });
  });
  if (!response.ok) throw new Error(`GET /models at ${url} was answered with status ${response.status}`);
  const { data } = modelsSchema.safeParse(await response.json().catch(() => undefined));
  if (!data) throw new Error(`GET /models at ${url} was answered by something that is no Diffusion Probe`);
  return data.models;
}
