/**
 * Receives the body of a request directly into the memory that the workers read. The system gives fresh memory its pages as
 * they are written, so it grows with what arrives.
 * Fastify's bodyLimit does not apply to bodies that are read as streams, so the limit is checked here.
 */
import type { Readable } from 'node:stream';

import { problem } from '../errors.js';
import type { Arrival } from './admission.js';
import { ClientGoneError } from './request-deadline.js';

/**
 * The size that a request announces.
 * @throws {ProblemError} `length_required` without a Content-Length, `body_too_large` above `maxBytes`.
 */
export function announcedLength(header: string | undefined, maxBytes: number): number {
  if (header === undefined || !/^\d+$/.test(header)) {
    throw problem('length_required', 'The request has no Content-Length; chunked bodies are not accepted.', {
      field: 'content-length',
      expected: `a number of bytes up to ${maxBytes}`,
    });
  }
  const length = Number(header);
  if (length <= maxBytes) return length;
  throw problem('body_too_large', `The body has ${length} bytes.`, {
    field: 'content-length',
    received: length,
    expected: `at most ${maxBytes} bytes`,
  });
}

export interface ReceiveOptions {
  /** Counts what arrives. */
  readonly arrival: Arrival;
  /** Takes memory of exactly this many bytes; called when the first of them have arrived. */
  readonly takeMemory: (length: number) => SharedArrayBuffer;
  readonly signal: AbortSignal;
  /** Inspects a body of which so many bytes have arrived, after each chunk except the last; throws to refuse the rest. */
  readonly lookAhead?: ((memory: SharedArrayBuffer, received: number) => void) | undefined;
}

/**
 * Receives a body of exactly the announced length. After a failure, nothing more is written into its memory.
 * @throws {ProblemError} `malformed_body` when more or fewer bytes arrive, `request_timeout` when they arrive too slowly,
 * `overloaded` or `tenant_limit` when there is no room for them; the signal's reason once it fires.
 */
export function receiveBody(
  stream: Readable,
  { arrival, takeMemory, signal, lookAhead }: ReceiveOptions,
): Promise<SharedArrayBuffer> {
  return new Promise((resolve, reject) => {
    const { length } = arrival;
    let memory: SharedArrayBuffer | undefined;
    let body: Uint8Array | undefined;

    const onData = (chunk: Buffer): void => {
      const received = arrival.received + chunk.length;
      if (received > length) return fail(wrongLength(received, length));
      try {
        // Not before, so that an announcement takes no memory.
        memory ??= takeMemory(length);
        body ??= new Uint8Array(memory);
        body.set(chunk, arrival.received);
        arrival.count(chunk.length);
        if (received < length) lookAhead?.(memory, received);
      } catch (error) {
        fail(error as Error);
      }
    };
    const onEnd = (): void => {
      if (arrival.received !== length) return fail(wrongLength(arrival.received, length));
      stopListening();
      resolve(memory ?? takeMemory(length));
    };
    const onClose = (): void => fail(new ClientGoneError('the client left while sending its body'));
    const onAbort = (): void => fail(signal.reason as Error);
    const fail = (error: Error): void => {
      stopListening();
      // The rest is discarded, because a paused stream would keep the connection open.
      stream.resume();
      reject(error);
    };
    const stopListening = (): void => {
      stream.off('data', onData).off('end', onEnd).off('error', fail).off('close', onClose);
      // Once a request has failed, a broken connection needs no handling.
      stream.on('error', () => {});
      signal.removeEventListener('abort', onAbort);
      arrival.end();
    };

    if (signal.aborted) {
      // The body is not touched, because reading would invite it (`100 Continue`).
      arrival.end();
      return reject(signal.reason as Error);
    }
    signal.addEventListener('abort', onAbort);
    arrival.onCutOff(fail);
    stream.on('data', onData).on('end', onEnd).on('error', fail).on('close', onClose);
  });
}

function wrongLength(received: number, announced: number): Error {
  return problem('malformed_body', 'The length of the body differs from its Content-Length.', {
    field: 'body',
    received: `${received} bytes or more`,
    expected: `${announced} bytes`,
  });
}
