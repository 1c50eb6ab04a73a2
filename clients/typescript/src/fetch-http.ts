/** HTTP by `fetch`. The runtime keeps and limits the connections. */
import {
  type Http,
  type HttpRequest,
  type HttpResponse,
  MAX_RESPONSE_BYTES,
  NoResponseError,
} from './http.js';

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** @param url of the service, without a slash at its end. */
export function httpByFetch(url: string, fetch: Fetch): Http {
  const send = async ({ path, ...init }: HttpRequest): Promise<HttpResponse> => {
    // A followed redirect would repeat the body, and a 301 or 302 would become a GET.
    const options = { ...init, body: init.body ?? null, redirect: 'manual' } as const;
    const response = await fetch(url + path, options).catch((error: unknown) => {
      throw new NoResponseError(error);
    });
    const { status, headers } = response;
    const retryAfter = headers.get('retry-after') ?? undefined;
    const location = headers.get('location') ?? undefined;
    return { status, retryAfter, location, text: await readText(response) };
  };
  return { send, close: async () => {} };
}

/** Text of at most MAX_RESPONSE_BYTES. */
async function readText(response: Response): Promise<string> {
  const { headers, body } = response;
  const announced =
    headers.get('content-encoding') === null ? Number(headers.get('content-length') ?? NaN) : NaN;
  if (!body || announced <= MAX_RESPONSE_BYTES) return response.text();
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.length;
    if (bytes > MAX_RESPONSE_BYTES) {
      // Not awaited: the connection's end says nothing more.
      reader.cancel().catch(() => {});
      throw new Error(`the response has more than ${MAX_RESPONSE_BYTES} bytes`);
    }
    text += decoder.decode(value, { stream: true });
  }
}
