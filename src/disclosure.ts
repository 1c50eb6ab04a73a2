/**
 * What answers and log lines may show of a request. An answer quotes its own request, in short pieces. A log line holds nothing
 * of the content: an error's code, the kind of field at fault, and sizes. See docs/adr/0029-nothing-of-a-request-in-the-log.md.
 */

/** The size of a problem document and of a log line, bytes. */
export const MAX_SHOWN_BYTES = 4096;
/** Characters of one text of a request in its answer. */
const MAX_QUOTED = 100;
/** Each longer text, list and object of what is too large is cut to the first of these lengths with which the whole fits. */
const SHORTER = [1000, 250, 62, 15, 3, 0];

/** Field names that the service has chosen. All others may come from a request. */
const KNOWN_FIELDS: ReadonlySet<string> = new Set(
  (
    'attention token_mask timestep model policy group sample_ids step total_steps capture_id ' +
    'conditions_id conditions ' +
    'body tensors inputs outputs parameters id feedback host expect authorization content-encoding content-length x-deadline-ms inference-header-content-length'
  ).split(' '),
);

/** The kind of a field, for the log: the first part of its name when the service has chosen it, else `other`. */
export function fieldKind(field: string): string {
  const [first = ''] = field.split('.', 1);
  return KNOWN_FIELDS.has(first) ? first : 'other';
}

/** The beginning of a text, for an answer to the request that it comes from. */
export function cut(text: string, length = MAX_QUOTED): string {
  if (text.length <= length) return text;
  // Without half of a surrogate pair at the end.
  return `${text.slice(0, Math.max(0, length - 1)).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

/** The beginning of a value as JSON, for an answer to the request that it comes from. */
export function quoted(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(cut(value)) : cut(JSON.stringify(value) ?? 'undefined');
}

/** A text of ONNX Runtime without its numbers: it quotes values of the samples, and a batch holds those of several callers. */
export function withoutNumbers(text: string): string {
  return text.replaceAll(/(?<![\w.])-?\d[\d.]*(?:e[+-]?\d+)?/gi, '#');
}

/** An error without its message, which may quote a request. */
export interface ErrorTrace {
  readonly type: string;
  readonly code?: string;
  readonly stack?: string;
}

/** Describes an error for the log: its class, its code, and where it was thrown. */
export function traceOf(thrown: unknown): ErrorTrace {
  if (!(thrown instanceof Error)) return { type: typeof thrown };
  const { name, code, message, stack = '' } = thrown as Error & { code?: unknown };
  const messageAt = stack.indexOf(message);
  const below = messageAt === -1 ? '' : stack.slice(messageAt + message.length);
  const frames = below.split('\n').filter((line) => /^\s+at /.test(line));
  return {
    type: name,
    ...(typeof code === 'string' && { code }),
    ...(frames.length > 0 && { stack: frames.join('\n') }),
  };
}

/** JSON of at most MAX_SHOWN_BYTES. Texts of up to 100 characters that are members of the record itself stay whole. */
export function boundedJson(record: object): string {
  let json = JSON.stringify(record);
  for (const length of SHORTER) {
    if (Buffer.byteLength(json) < MAX_SHOWN_BYTES) break;
    const members = Object.entries(record).map(([key, member]: [string, unknown]) => [
      key,
      typeof member === 'string' ? cut(member, Math.max(length, MAX_QUOTED)) : shorter(member, length),
    ]);
    json = JSON.stringify(Object.fromEntries(members));
  }
  return json;
}

function shorter(value: unknown, length: number): unknown {
  if (typeof value === 'string') return cut(value, length);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.slice(0, length).map((item) => shorter(item, length));
  const members = Object.entries(value).slice(0, length);
  return Object.fromEntries(members.map(([key, member]) => [cut(key, length), shorter(member, length)]));
}
