/**
 * Reads the service's answers. It checks only the members that the client uses and ignores all others, so that an older
 * client can read the answers of a newer service.
 */

export type Decision = 'keep' | 'drop';

/** Score and decision of one sample; the members are those of the service's answer. */
export interface SampleResult {
  readonly index: number;
  readonly id: string | null;
  /** The predicted quality. */
  readonly score: number;
  /** 0 to 100, among the scores of the calibration; null without one. */
  readonly percentile: number | null;
  /** The probability that the finished image is good; null without a calibration. */
  readonly pGood: number | null;
  /** Among the samples of the request; 1 is the best. */
  readonly rank: number;
  /** The score below which the policy drops; null if it has none. */
  readonly threshold: number | null;
  /** What the policy decides, before any override. */
  readonly wouldDrop: boolean;
  /** Why the sample is kept although the policy would drop it. */
  readonly override: string | null;
  readonly decision: Decision;
  readonly reason: string;
  /** For `feedback`; undefined when the service is too old to take it. */
  readonly receipt?: string;
}

/** The answer to /score, before the client adds its decisions. */
export type ServiceAnswer =
  | {
      readonly outcome: 'scored';
      readonly model: string;
      readonly version: number;
      readonly provider: string;
      readonly policy: { readonly name: string };
      readonly conditions: string;
      readonly foreignConditions: readonly string[];
      readonly results: readonly SampleResult[];
    }
  | { readonly outcome: 'failed_open'; readonly reason: string };

/** The answer to /feedback: how many receipts counted, and why the others did not. */
export interface FeedbackAnswer {
  readonly accepted: number;
  readonly refused: readonly { readonly index: number; readonly reason: string }[];
}

/** One version of a probe, as GET /models lists it. */
export interface Model {
  readonly name: string;
  readonly version: number;
  /** `serving`: used for the bare name; `available`: used for name@version; `refused`. */
  readonly state: string;
  /** Its inputs, `capture_id`, decision points and more; null when the service could not read it. */
  readonly contract: Readonly<Record<string, unknown>> | null;
}

/** The problem document (RFC 9457) of a refused request. */
export interface Problem {
  readonly code: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly [member: string]: unknown;
}

type Members = Readonly<Record<string, unknown>>;

/** The body is not what the service answers. */
class Malformed extends Error {}

/** The body of a 200 of /score; undefined when it is not an answer for this many samples. */
export function readAnswer(body: unknown, samples: number): ServiceAnswer | undefined {
  return attempt(() => {
    const answer = object(body);
    if (answer['outcome'] === 'failed_open')
      return { outcome: 'failed_open', reason: text(answer['reason']) };
    const results = list(answer['results'], readResult);
    if (answer['outcome'] !== 'scored' || results.length !== samples) throw new Malformed();
    if (results.some(({ index }, place) => index !== place)) throw new Malformed();
    const policy = object(answer['policy']);
    return {
      outcome: 'scored',
      model: text(answer['model']),
      version: whole(answer['version']),
      provider: text(answer['provider']),
      policy: { ...policy, name: text(policy['name']) },
      // Services of version 0.2 do not compare conditions.
      conditions: text(answer['conditions'] ?? 'unstated'),
      foreignConditions: list(answer['foreign_conditions'] ?? [], text),
      results,
    };
  });
}

/** The body of a 200 of /feedback; undefined when it is not an answer. */
export function readFeedbackAnswer(body: unknown): FeedbackAnswer | undefined {
  return attempt(() => {
    const { accepted, refused } = object(body);
    const readRefused = (entry: unknown) => {
      const { index, reason } = object(entry);
      return { index: whole(index), reason: text(reason) };
    };
    return { accepted: whole(accepted), refused: list(refused, readRefused) };
  });
}

/** The body of a 200 of /models; undefined when it is not an answer. */
export function readModels(body: unknown): readonly Model[] | undefined {
  return attempt(() =>
    list(object(body)['models'], (entry) => {
      const { name, version, state, contract } = object(entry);
      return {
        name: text(name),
        version: whole(version),
        state: text(state),
        contract: orNull(contract, object),
      };
    }),
  );
}

/** The body of an error; undefined when it is not a problem document. */
export function readProblem(body: unknown): Problem | undefined {
  return attempt(() => {
    const { code, title, status, detail, ...others } = object(body);
    return { ...others, code: text(code), title: text(title), status: whole(status), detail: text(detail) };
  });
}

/** Undefined for a text that is not JSON. */
export function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function readResult(entry: unknown): SampleResult {
  const result = object(entry);
  const { decision, receipt } = result;
  if (decision !== 'keep' && decision !== 'drop') throw new Malformed();
  return {
    index: whole(result['index']),
    id: orNull(result['id'], text),
    score: number(result['score']),
    percentile: orNull(result['percentile'], number),
    pGood: orNull(result['p_good'], number),
    rank: whole(result['rank']),
    threshold: orNull(result['threshold'], number),
    wouldDrop: flag(result['would_drop']),
    override: orNull(result['override'], text),
    decision,
    reason: text(result['reason']),
    ...(receipt !== undefined && receipt !== null && { receipt: text(receipt) }),
  };
}

function attempt<Answer>(read: () => Answer): Answer | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}

function object(value: unknown): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Malformed();
  return value as Members;
}

function list<Item>(value: unknown, read: (item: unknown) => Item): Item[] {
  if (!Array.isArray(value)) throw new Malformed();
  return value.map(read);
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw new Malformed();
  return value;
}

function number(value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new Malformed();
  return value;
}

function whole(value: unknown): number {
  if (!Number.isSafeInteger(value)) throw new Malformed();
  return value as number;
}

function flag(value: unknown): boolean {
  if (typeof value !== 'boolean') throw new Malformed();
  return value;
}

function orNull<Value>(value: unknown, read: (value: unknown) => Value): Value | null {
  return value === null || value === undefined ? null : read(value);
}
