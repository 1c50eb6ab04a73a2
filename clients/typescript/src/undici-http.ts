/** HTTP over a pool of connections of undici, to a host or a Unix domain socket. */
import { type Dispatcher, Pool } from 'undici';

import {
  type Http,
  type HttpRequest,
  type HttpResponse,
  MAX_RESPONSE_BYTES,
  NoResponseError,
} from './http.js';

export interface PoolOptions {
  /** The largest number of open connections. */
  readonly connections: number;
  readonly socketPath: string | undefined;
  /** Certificate authorities, certificate and key as `node:tls` takes them. */
  readonly tls: Readonly<Record<string, unknown>> | undefined;
}

/** @param url of the service, without a slash at its end. */
export function httpByUndici(url: string, { connections, socketPath, tls }: PoolOptions): Http {
  const { origin, pathname } = new URL(url);
  const prefix = pathname === '/' ? '' : pathname;
  const pool = new Pool(origin, {
    connections,
    // On a shared connection, an answer would wait for the answers of earlier requests.
    pipelining: 1,
    // The deadline of a call is the only limit.
    headersTimeout: 0,
    bodyTimeout: 0,
    ...(socketPath !== undefined && { socketPath }),
    ...(tls && { connect: tls }),
  });
  const send = async ({ path, body, ...request }: HttpRequest): Promise<HttpResponse> => {
    const options = { ...request, path: prefix + path, body: body ?? null };
    const response = await pool.request(options).catch((error: unknown) => {
      throw new NoResponseError(error);
    });
    const { statusCode: status, headers } = response;
    const retryAfter = headers['retry-after']?.toString();
    const location = headers['location']?.toString();
    return { status, retryAfter, location, text: await readText(response) };
  };
  return { send, close: () => pool.close() };
}

/** Text of at most MAX_RESPONSE_BYTES. */
async function readText({ headers, body }: Dispatcher.ResponseData): Promise<string> {
  if (Number(headers['content-length'] ?? NaN) <= MAX_RESPONSE_BYTES) return body.text();
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    // Leaving the loop destroys the body and its connection.
    if (bytes > MAX_RESPONSE_BYTES) throw new Error(`the response has more than ${MAX_RESPONSE_BYTES} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
