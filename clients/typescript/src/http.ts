/** What the client needs of an HTTP library. An entry point of the package provides it. */

/** A response with a longer body is a fault: the service's are far shorter. */
export const MAX_RESPONSE_BYTES = 16_777_216;

export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  /** From the root, such as /score. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array<ArrayBuffer> | undefined;
  /** Ends the exchange when it aborts. */
  readonly signal: AbortSignal;
}

export interface HttpResponse {
  /** 0 for a redirect in a browser. */
  readonly status: number;
  readonly retryAfter: string | undefined;
  /** Where a redirect leads. */
  readonly location: string | undefined;
  readonly text: string;
}

/** The connection failed before a response began. */
export class NoResponseError extends Error {
  override readonly name = 'NoResponseError';
  /** Whether the service may have received the request. */
  readonly isSent: boolean;

  constructor(cause: unknown) {
    super(messageOf(cause), { cause });
    this.isSent = !isBeforeSending(cause);
  }
}

export interface Http {
  /** @throws {NoResponseError} and what the library throws when a response breaks off. Follows no redirect. */
  readonly send: (request: HttpRequest) => Promise<HttpResponse>;
  /** Waits for running requests, then closes the connections. */
  readonly close: () => Promise<void>;
}

/** Codes of errors that come before the first byte of a request is sent, in Node, undici and Bun. */
const BEFORE_SENDING: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'UND_ERR_CONNECT_TIMEOUT',
  'ConnectionRefused',
  'FailedToOpenSocket',
]);

/** A browser does not tell why a connection failed: there the answer is no. */
function isBeforeSending(error: unknown): boolean {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown };
  return BEFORE_SENDING.has(code) || (cause !== undefined && isBeforeSending(cause));
}

/** The messages of an error and its causes: that of `fetch` says nothing without its cause. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message, cause, name } = error;
  const code = (error as { code?: unknown }).code;
  const own = message || (typeof code === 'string' ? code : name);
  return cause === undefined ? own : `${own}: ${messageOf(cause)}`;
}
