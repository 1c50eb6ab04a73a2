/** Owns which of a service's probes the demo asks, and what that probe wants to be given. */
import { request } from 'undici';
import * as z from 'zod';

/** The backbone that the demo draws with, as manifests name it. */
const BACKBONE = 'pictogram';
const ANSWER_TIMEOUT_MS = 2000;
const HTTP_OK = 200;

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

/** A probe that can be asked. */
export interface Probe {
  /** Where its service is. */
  readonly url: string;
  /** `name@version` */
  readonly reference: string;
  readonly contract: z.infer<typeof contractSchema>;
}

/** The service has no probe of the name that was asked for. */
export class NoSuchProbe extends Error {}

/**
 * The probe that `model` means, `name` or `name@version`; where it is left out, the one for the demo's backbone.
 * @throws {NoSuchProbe} when a probe was named and is not served.
 * @throws {Error} when the service does not say what it serves, or has nothing for the backbone.
 */
export async function findProbe(url: string, model: string | undefined): Promise<Probe> {
  const models = await listModels(url);
  const usable = models.filter(({ state }) => state !== 'refused');
  const found = usable.find((candidate) => isMeant(candidate, model));
  if (found?.contract) {
    return { url, reference: `${found.name}@${found.version}`, contract: found.contract };
  }
  const known = usable.map(({ name, version }) => `${name}@${version}`).join(', ') || 'none';
  if (model !== undefined) throw new NoSuchProbe(`there is no probe ${model} at ${url}; it serves: ${known}`);
  throw new Error(`the service at ${url} has no probe for ${BACKBONE}; it serves: ${known}`);
}

function isMeant({ name, version, state, contract }: Model, model: string | undefined): boolean {
  if (model === undefined) return state === 'serving' && contract?.backbone === BACKBONE;
  return model === `${name}@${version}` || (model === name && state === 'serving');
}

async function listModels(url: string): Promise<Model[]> {
  const timeouts = { headersTimeout: ANSWER_TIMEOUT_MS, bodyTimeout: ANSWER_TIMEOUT_MS };
  const { statusCode, body } = await request(new URL('/models', url), timeouts);
  const text = await body.text();
  if (statusCode !== HTTP_OK) throw new Error(`GET /models at ${url} was answered with status ${statusCode}`);
  const { data } = modelsSchema.safeParse(parseJson(text));
  if (!data) throw new Error(`GET /models at ${url} was answered by something that is no Diffusion Probe`);
  return data.models;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
