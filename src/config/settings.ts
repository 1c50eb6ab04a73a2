/**
 * The settings of the service: one schema with the group, description, unit, default and limits of each.
 * A command-line flag wins over the environment variable, and the variable over the default.
 */
import { parseArgs } from 'node:util';

import * as z from 'zod';

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
const DEVICE = /^(?:auto|cpu|cuda|cuda:\d+)$/;
const UNIX_PREFIX = /^unix:(?=\/.)/;
/** `*`, or origins as browsers send them, separated by commas. */
const ORIGIN = 'https?://(?:[a-z0-9.-]+|\\[[0-9a-f:.]+\\])(?::\\d+)?';
const ORIGINS = new RegExp(`^(?:\\*|${ORIGIN}(?:\\s*,\\s*${ORIGIN})*)$`, 'i');
const MAX_PORT = 65_535;
/** A setting's name says its unit. */
const UNIT_IN_NAME = /_(MS|US|SECONDS|BYTES|SAMPLES|THREADS)(?:_|$)/;
const UNITS: Readonly<Record<string, string>> = { MS: 'ms', US: 'µs', SECONDS: 's' };

const optionalText = z.string().exactOptional();
const optionalCount = wholeNumber(1).exactOptional();

const GROUPS = {
  Listening: {
    HOST: z.string().prefault('127.0.0.1').describe('Address to listen on; 0.0.0.0 for all'),
    PORT: whole(8080, 0, MAX_PORT).describe('Port to listen on; 0 takes any free one'),
    LISTEN: z
      .string()
      .regex(UNIX_PREFIX, 'unix: and a path from the root, such as unix:/run/diffusion-probe.sock')
      .transform((value) => value.replace(UNIX_PREFIX, ''))
      .exactOptional()
      .describe(
        'A Unix domain socket to listen on beside HOST and PORT, such as unix:/run/diffusion-probe.sock',
      ),
    METRICS_PORT: wholeNumber(0, MAX_PORT)
      .exactOptional()
      .describe('A separate port for /metrics, which PORT then does not serve; unset: PORT serves /metrics'),
  },
  Probes: {
    MODELS_DIR: z.string().prefault('models').describe('The model repository: <name>/<version>/probe.json'),
    MODELS_POLL_MS: whole(2000, 0).describe(
      'Time between two looks at the model repository for changes; 0: only at the start and on POST /models/reload',
    ),
    PROOF_TIMEOUT_MS: whole(30_000, 1).describe(
      'Maximum time to open, test and measure a probe, which a process of its own does before the service loads it',
    ),
    PROOF_MEMORY_BYTES: whole(4_294_967_296, 1).describe(
      'Maximum memory of that process (Linux); at most half of the memory of a container',
    ),
    DEFAULT_MODEL: optionalText.describe(
      'The probe for requests that name none, as name or name@version; unset: the only probe, or of several the one named like its backbone',
    ),
  },
  Inference: {
    DEVICE: z
      .string()
      .regex(DEVICE, 'auto, cpu, cuda or cuda:<number>')
      .transform((value) => value as 'auto' | 'cpu' | 'cuda' | `cuda:${number}`)
      .prefault('auto')
      .describe('Where inference runs: auto tries CUDA and falls back to the CPU, cuda never falls back'),
    WORKERS: optionalCount.describe('Inference threads; unset: one per core on the CPU, one on CUDA'),
    INTRA_OP_THREADS: optionalCount.describe(
      'Threads within one inference; unset: the cores divided by the workers, and up to four for a lone request',
    ),
    MAX_BATCH_SAMPLES: optionalCount.describe(
      'Maximum samples in one inference; unset: the best size, measured for each probe when it is loaded',
    ),
    MAX_QUEUE_DELAY_US: whole(0, 0).describe(
      'Time that an idle worker waits for a fuller batch; 0: it never waits, which is best on the CPU',
    ),
    INFERENCE_TIMEOUT_MS: whole(10_000, 1).describe('An inference that takes longer counts as hung'),
  },
  Limits: {
    MAX_QUEUE_SAMPLES: whole(512, 1).describe('Maximum samples that wait for inference'),
    MAX_QUEUE_BYTES: whole(268_435_456, 1).describe('Maximum size of the bodies that wait for inference'),
    TENANT_QUEUE_SHARE: share(0.5).describe(
      'Maximum share of both that one caller may hold while others wait; 1: no limit',
    ),
    MAX_BODY_BYTES: whole(67_108_864, 1).describe('Maximum size of a binary body'),
    // V8 ends the process when JSON.parse makes a list of more than 134,217,727 items, which need two bytes each.
    MAX_JSON_BODY_BYTES: whole(2_097_152, 1, 268_435_456).describe('Maximum size of a JSON body'),
    MAX_SAMPLES_PER_REQUEST: whole(64, 1).describe('Maximum samples in one request'),
    REQUEST_TIMEOUT_MS: whole(60_000, 1).describe(
      'Maximum time from the first byte of a request to its last; slower connections are closed',
    ),
    KEEP_ALIVE_TIMEOUT_MS: whole(620_000, 1).describe(
      'Time after which an idle connection is closed; longer than the load balancer in front keeps it, which is commonly 600 s or less',
    ),
    MIN_BODY_BYTES_PER_SECOND: whole(10_000, 0).describe(
      'Minimum rate, over 5 s, at which a body must arrive; slower connections are closed',
    ),
  },
  'Decisions and feedback': {
    POLICIES_FILE: optionalText.describe(
      'JSON file of the policies per probe, reloaded when edited; unset: max_false_drop at 0.05 for all',
    ),
    FEEDBACK_KEYS_FILE: optionalText.describe(
      'JSON file of the keys that sign receipts, the same for all replicas, reloaded when edited; unset: a random key',
    ),
    FEEDBACK_FILE: optionalText.describe(
      'File to which accepted feedback is appended, one line of JSON per receipt, for diffusion-probe recalibrate; unset: it is only counted',
    ),
    RECEIPT_LIFETIME_SECONDS: whole(86_400, 1).describe('Maximum time from a decision to its feedback'),
  },
  Operation: {
    API_KEYS_FILE: optionalText.describe(
      'JSON file of the API keys that callers must send, reloaded when edited; unset: no key is needed',
    ),
    CORS_ORIGINS: z
      .string()
      .regex(ORIGINS, '*, or origins separated by commas, such as https://app.example.com')
      .transform((value): readonly string[] => value.toLowerCase().split(/\s*,\s*/))
      .exactOptional()
      .describe(
        'The origins, separated by commas, whose pages may call the service from a browser, such as https://app.example.com; * for all, unset: none',
      ),
    STATIC_DIR: optionalText.describe(
      'A folder with index.html that is served at /, such as the built page; unset: / shows /docs',
    ),
    TENANT_HEADER: z
      .string()
      .regex(/^[A-Za-z0-9-]+$/, 'the name of a header, such as X-Tenant')
      .toLowerCase()
      .exactOptional()
      .describe(
        'The header that names the caller whose turn a request takes, set by your proxy; unset, or without API key and header: the client’s address',
      ),
    LOG_LEVEL: z
      .enum(LOG_LEVELS, { error: `one of ${LOG_LEVELS.join(', ')}` })
      .prefault('info')
      .describe('The lowest level of log lines that are written'),
    DRAIN_DELAY_MS: whole(0, 0).describe('Time from SIGTERM to closing, while /readyz already answers 503'),
    SHUTDOWN_TIMEOUT_MS: whole(20_000, 1).describe(
      'Time from closing to a forced exit; at least INFERENCE_TIMEOUT_MS',
    ),
  },
};

const settingsSchema = z.object({
  ...GROUPS.Listening,
  ...GROUPS.Probes,
  ...GROUPS.Inference,
  ...GROUPS.Limits,
  ...GROUPS['Decisions and feedback'],
  ...GROUPS.Operation,
});

const NAME_BY_FLAG = new Map(Object.keys(settingsSchema.shape).map((name) => [flagOf(name), name]));

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
  /** Such as `--max-body-bytes`. */
  readonly flag: string;
  readonly group: string;
  /** Empty for a setting that is no quantity. */
  readonly unit: string;
  readonly description: string;
  /** `unset` for a setting without a default. */
  readonly default: string;
}

/**
 * Reads all settings. An empty flag or variable means the default. The result lists all mistakes.
 * @param args the command line after the program's name.
 */
export function readSettings(
  environment: Readonly<Record<string, string | undefined>>,
  args: readonly string[] = [],
): SettingsResult {
  const { flags, mistakes } = readFlags(args);
  const given = Object.fromEntries(
    Object.keys(settingsSchema.shape)
      .map((name) => [name, (flags.get(name) ?? environment[name])?.trim()] as const)
      .filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = settingsSchema.safeParse(given);
  if (parsed.success) mistakes.push(...contradictions(parsed.data));
  else
    for (const { path, message } of parsed.error.issues) {
      const name = String(path[0]);
      const source = flags.has(name) ? flagOf(name) : name;
      mistakes.push(`${source}: got ${JSON.stringify(given[name])}, expected ${message}`);
    }
  if (!parsed.success || mistakes.length > 0) return { ok: false, mistakes };
  const entries = Object.entries(parsed.data).map(([name, value]) => [camelCase(name), value]);
  return { ok: true, settings: Object.freeze(Object.fromEntries(entries) as Settings) };
}

/** Every setting, in the order of the schema. */
export function describeSettings(): SettingDescription[] {
  return Object.entries(GROUPS).flatMap(([group, settings]) =>
    Object.entries<z.ZodType>(settings).map(([name, schema]) => {
      const [, unit = ''] = UNIT_IN_NAME.exec(name) ?? [];
      return {
        name,
        flag: flagOf(name),
        group,
        unit: UNITS[unit] ?? unit.toLowerCase(),
        description: schema.description ?? '',
        default: schema instanceof z.ZodPrefault ? String(schema.def.defaultValue) : 'unset',
      };
    }),
  );
}

/** The values of `--flag value` and `--flag=value` by the settings' names; the last of a repeated flag counts. */
function readFlags(args: readonly string[]): { flags: Map<string, string>; mistakes: string[] } {
  const options = Object.fromEntries(
    [...NAME_BY_FLAG.keys()].map((flag) => [flag.slice(2), { type: 'string' as const }]),
  );
  // Not strict: parseArgs would throw at the first mistake.
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true });
  const flags = new Map<string, string>();
  const mistakes: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') mistakes.push(`${token.value}: this argument is unknown`);
    if (token.kind !== 'option') continue;
    const { rawName, value, inlineValue } = token;
    const name = NAME_BY_FLAG.get(rawName);
    if (name === undefined) mistakes.push(`${rawName}: this flag is unknown`);
    else if (value === undefined || (!inlineValue && value.startsWith('--')))
      mistakes.push(`${rawName}: the value is missing`);
    else flags.set(name, value);
  }
  return { flags, mistakes };
}

/** Settings that contradict each other. */
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

function whole(preset: number, min: number, max?: number) {
  return wholeNumber(min, max).prefault(String(preset));
}

function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER) {
  const error =
    max === Number.MAX_SAFE_INTEGER ? `a whole number from ${min}` : `a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d+$/, { error, abort: true })
    .transform(Number)
    .pipe(z.int({ error, abort: true }).min(min, { error }).max(max, { error }));
}

/** A number above 0 up to 1. */
function share(preset: number) {
  const error = 'a number above 0, up to 1';
  return z
    .string()
    .regex(/^\d*\.?\d+$/, { error, abort: true })
    .transform(Number)
    .pipe(z.number().positive({ error }).max(1, { error }))
    .prefault(String(preset));
}

function flagOf(name: string): string {
  return `--${name.toLowerCase().replaceAll('_', '-')}`;
}

function camelCase(name: string): string {
  return name.toLowerCase().replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
