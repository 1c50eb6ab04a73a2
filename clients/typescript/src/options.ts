/** The options of a client, checked. */
import { InvalidInputError } from './errors.js';
import type { ScoreFailure } from './outcome.js';

const DEFAULTS = { deadlineMs: 1000, retries: 2, breakerFailures: 5, breakerSeconds: 10 } as const;
const MINIMA = { deadlineMs: Number.MIN_VALUE, retries: 0, breakerFailures: 0, breakerSeconds: 0 } as const;
/** Above it, setTimeout fires at once. */
const MAX_TIMER_MS = 2_147_483_647;
const KEY_VARIABLE = 'DIFFUSION_PROBE_API_KEY';

export interface ClientOptions {
  /** Sent with every call; needed when the service has API keys. The variable DIFFUSION_PROBE_API_KEY when omitted. */
  readonly apiKey?: string;
  /** Further headers of every call, such as those that a gateway needs. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The deadline of calls that give none, ms; 1000 when omitted. */
  readonly deadlineMs?: number;
  /**
   * How often a call is sent again, within its deadline: when the connection failed before a response began, and after a 429
   * or 503 with `Retry-After`. 2 when omitted.
   */
  readonly retries?: number;
  /** After so many faults in a row, calls fail at once for `breakerSeconds`; then one is tried. 0: never. 5 when omitted. */
  readonly breakerFailures?: number;
  /** 10 when omitted. */
  readonly breakerSeconds?: number;
  /**
   * What a call does when the mistake is the caller's (a RefusedError or an InvalidInputError): `raise`, the default, rejects
   * with it; `keep` fails open, for production.
   */
  readonly onMistake?: 'raise' | 'keep';
  /**
   * Called with every failure that is not raised. Exceptions that it throws are ignored. When omitted, the first failure of
   * each kind is written to the console.
   */
  readonly onProblem?: (failure: ScoreFailure) => void;
}

/** The same without omissions. */
export interface CheckedOptions {
  readonly deadlineMs: number;
  readonly retries: number;
  readonly breakerFailures: number;
  readonly breakerSeconds: number;
  readonly isMistakeRaised: boolean;
  readonly headers: Readonly<Record<string, string>>;
}

/** @throws {InvalidInputError} */
export function checkOptions(options: ClientOptions): CheckedOptions {
  const { onMistake = 'raise' } = options;
  if (onMistake !== 'raise' && onMistake !== 'keep')
    throw new InvalidInputError('onMistake', JSON.stringify(onMistake), "'raise' or 'keep'");
  const numbers = { ...DEFAULTS } as Record<keyof typeof DEFAULTS, number>;
  for (const name of Object.keys(DEFAULTS) as (keyof typeof DEFAULTS)[]) {
    const value = options[name] ?? DEFAULTS[name];
    if (typeof value !== 'number' || !(value >= MINIMA[name] && value <= MAX_TIMER_MS))
      throw new InvalidInputError(
        name,
        String(value),
        `a number from ${name === 'deadlineMs' ? 'above 0' : 0}`,
      );
    numbers[name] = value;
  }
  return { ...numbers, isMistakeRaised: onMistake === 'raise', headers: checkHeaders(options) };
}

/** @throws {InvalidInputError} */
export function checkDeadline(deadlineMs: number): number {
  if (typeof deadlineMs === 'number' && deadlineMs > 0 && deadlineMs <= MAX_TIMER_MS) return deadlineMs;
  throw new InvalidInputError(
    'deadlineMs',
    String(deadlineMs),
    `a number of milliseconds from above 0 to ${MAX_TIMER_MS}`,
  );
}

/**
 * The URL of a service, without a slash at its end: scheme, host, port, and the path below which a gateway has the service.
 * @throws {InvalidInputError}
 */
export function checkOrigin(origin: string | URL): string {
  const text = String(origin);
  const url = parseUrl(text);
  const hasUser = url !== undefined && (url.username !== '' || url.password !== '');
  if (url && /^https?:$/.test(url.protocol) && !url.search && !url.hash && !hasUser)
    return url.origin + url.pathname.replace(/\/+$/, '');
  // A password is not repeated.
  const received = hasUser ? 'a URL with a user' : text;
  const socket = url?.protocol === 'unix:' ? '; Unix sockets need @diffusion-probe/client/node' : '';
  throw new InvalidInputError(
    'origin',
    received,
    `http://host:port or https://host:port, with a path if any${socket}`,
  );
}

function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}

function checkHeaders({ headers = {}, apiKey = keyOfEnvironment() }: ClientOptions): Record<string, string> {
  const all = { ...headers, ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }) };
  try {
    return Object.fromEntries(new Headers(all));
  } catch {
    // The reason could repeat the key.
    throw new InvalidInputError(
      apiKey === undefined ? 'headers' : 'apiKey or headers',
      'not valid in HTTP',
      'other texts',
    );
  }
}

/** Undefined in a browser. */
function keyOfEnvironment(): string | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env?.[KEY_VARIABLE] || undefined;
}
