/**
 * Owns the settings: one schema over the environment, with the description, unit and default of each.
 * It is handed the environment and reads nothing by itself.
 */
import * as z from 'zod';

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
const DEVICE = /^(?:auto|cpu|cuda|cuda:\d+)$/;
/** What stands before the path of a socket. */
const UNIX_ADDRESS = /^unix:(?=\/.)/;
const MAX_PORT = 65_535;

const settingsSchema = z.object({
  HOST: text('127.0.0.1').describe('Address to listen on; 0.0.0.0 for all'),
  PORT: whole(8080, 0, MAX_PORT).describe('Port to listen on; 0 takes any free one'),
  LISTEN: z
    .string()
    .regex(UNIX_ADDRESS, 'unix: and a path from the root, such as unix:/run/diffusion-probe.sock')
    .transform((value) => value.replace(UNIX_ADDRESS, ''))
    .exactOptional()
    .describe(
      'A Unix domain socket to listen on beside HOST and PORT, such as unix:/run/diffusion-probe.sock',
    ),
  MODELS_DIR: text('models').describe('The model repository: <name>/<version>/probe.json'),
  MODELS_POLL_MS: whole(2000, 0).describe(
    'How often the model repository is looked at for changes, ms; 0: at the start and on POST /models/reload alone',
  ),
  DEFAULT_MODEL: z
    .string()
    .exactOptional()
    .describe(
      'The probe that requests mean when they name none: name or name@version; unset: the only one, or of several the one named like its backbone',
    ),
  DEVICE: z
    .string()
    .regex(DEVICE, 'auto, cpu, cuda or cuda:<number>')
    .transform((value) => value as 'auto' | 'cpu' | 'cuda' | `cuda:${number}`)
    .prefault('auto')
    .describe('Where inference runs: auto tries CUDA and falls back to the CPU, cuda insists'),
  WORKERS: optionalWhole(1).describe('Inference threads; unset: one per core on the CPU, one on CUDA'),
  INTRA_OP_THREADS: optionalWhole(1).describe(
    'Threads within one inference; unset: the cores shared among the workers, and all of them for a lone request that gains much by it',
  ),
  MAX_BATCH_SAMPLES: optionalWhole(1).describe(
    'Samples in one inference at most; unset: the best size, measured for each probe when it is loaded',
  ),
  MAX_QUEUE_DELAY_US: whole(0, 0).describe(
    'How long an idle worker waits for a fuller batch, µs; 0: it never waits, which is best on the CPU',
  ),
  MAX_QUEUE_SAMPLES: whole(512, 1).describe('Samples that may wait for inference'),
  MAX_QUEUE_BYTES: whole(268_435_456, 1).describe('Bytes that may wait for inference'),
  MAX_BODY_BYTES: whole(67_108_864, 1).describe('Size of a binary body at most, bytes'),
  MAX_JSON_BODY_BYTES: whole(2_097_152, 1).describe('Size of a JSON body at most, bytes'),
  MAX_SAMPLES_PER_REQUEST: whole(64, 1).describe('Samples in one request at most'),
  REQUEST_TIMEOUT_MS: whole(60_000, 1).describe(
    'From the first byte of a request to its last at most, ms; slower senders are hung up on',
  ),
  INFERENCE_TIMEOUT_MS: whole(10_000, 1).describe('An inference that takes longer is taken for hung, ms'),
  DRAIN_DELAY_MS: whole(0, 0).describe('From SIGTERM to closing, while /readyz already answers 503, ms'),
  SHUTDOWN_TIMEOUT_MS: whole(20_000, 1).describe(
    'From closing to a forced exit, ms; at least INFERENCE_TIMEOUT_MS',
  ),
  LOG_LEVEL: z
    .enum(LOG_LEVELS, { error: `one of ${LOG_LEVELS.join(', ')}` })
    .prefault('info')
    .describe('The least severe log lines that are written'),
  POLICIES_FILE: z
    .string()
    .exactOptional()
    .describe(
      'JSON file of the policies per probe, reloaded when edited; unset: max_false_drop at 0.05 for all',
    ),
  FEEDBACK_KEYS_FILE: z
    .string()
    .exactOptional()
    .describe('JSON file of the keys that sign receipts, the same for all replicas; unset: a random one'),
  API_KEYS_FILE: z
    .string()
    .exactOptional()
    .describe(
      'JSON file of the API keys that callers must show, reloaded when edited; unset: everybody may ask',
    ),
  METRICS_PORT: wholeNumber(0, MAX_PORT)
    .exactOptional()
    .describe('Port for /metrics alone, which PORT then does not answer; unset: /metrics is on PORT'),
  RECEIPT_LIFETIME_SECONDS: whole(86_400, 1).describe('From a decision to its feedback at most, s'),
});

type Parsed = z.infer<typeof settingsSchema>;
type CamelCase<Name extends string> = Name extends `${infer First}_${infer Rest}`
  ? `${Lowercase<First>}${Capitalize<CamelCase<Rest>>}`
  : Lowercase<Name>;

/** The settings by camelCase name: `MAX_BODY_BYTES` is `maxBodyBytes`. Frozen. */
export type Settings = { readonly [Name in keyof Parsed as CamelCase<Name>]: Parsed[Name] };

export type SettingsResult =
  | { readonly ok: true; readonly settings: Settings }
  | { readonly ok: false; readonly mistakes: readonly string[] };

/** One line of the table of settings. */
export interface SettingDescription {
  readonly name: string;
  readonly description: string;
  readonly default: string;
}

/** Reads all settings; an empty variable counts as unset. On mistakes, all of them are given. */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): SettingsResult {
  const given = Object.fromEntries(
    Object.keys(settingsSchema.shape)
      .map((name) => [name, environment[name]?.trim()] as const)
      .filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = settingsSchema.safeParse(given);
  if (!parsed.success) {
    const mistakes = parsed.error.issues.map((issue) => {
      const name = String(issue.path[0]);
      return `${name}: got ${JSON.stringify(given[name])}, expected ${issue.message}`;
    });
    return { ok: false, mistakes };
  }
  const mistakes = contradictions(parsed.data);
  if (mistakes.length > 0) return { ok: false, mistakes };
  const entries = Object.entries(parsed.data).map(([name, value]) => [camelCase(name), value]);
  return { ok: true, settings: Object.freeze(Object.fromEntries(entries) as Settings) };
}

/** Every setting with its description and default, in the order of the schema. */
export function describeSettings(): SettingDescription[] {
  return Object.entries(settingsSchema.shape).map(([name, schema]) => ({
    name,
    description: schema.description ?? '',
    default: schema instanceof z.ZodPrefault ? schema.def.defaultValue : 'unset',
  }));
}

/** Limits that would refuse every request which another limit allows. */
function contradictions(values: Parsed): string[] {
  const pairs = [
    ['MAX_SAMPLES_PER_REQUEST', 'MAX_QUEUE_SAMPLES'],
    ['MAX_BODY_BYTES', 'MAX_QUEUE_BYTES'],
    ['INFERENCE_TIMEOUT_MS', 'SHUTDOWN_TIMEOUT_MS'],
  ] as const;
  return pairs
    .filter(([low, high]) => values[low] > values[high])
    .map(([low, high]) => `${low}: got ${values[low]}, expected at most ${high}, which is ${values[high]}`);
}

function text(preset: string) {
  return z.string().prefault(preset);
}

function whole(preset: number, min: number, max = Number.MAX_SAFE_INTEGER) {
  return wholeNumber(min, max).prefault(String(preset));
}

function optionalWhole(min: number) {
  return wholeNumber(min, Number.MAX_SAFE_INTEGER).exactOptional();
}

function wholeNumber(min: number, max: number) {
  const error =
    max === Number.MAX_SAFE_INTEGER ? `a whole number from ${min}` : `a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d+$/, { error, abort: true })
    .transform(Number)
    .pipe(z.int({ error, abort: true }).min(min, { error }).max(max, { error }));
}

function camelCase(name: string): string {
  return name.toLowerCase().replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
