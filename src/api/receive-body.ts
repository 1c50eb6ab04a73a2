/**
 * Owns how a body comes in: once, into memory that the workers read it from.
 * Fastify's bodyLimit does not hold for bodies read as streams, so the limit is kept here.
 */
import type { Readable } from 'node:stream';

import { problem } from '../errors.js';
import { ClientGoneError } from './request-deadline.js';

/**
 * The size that a request announces.
 * @throws {ProblemError} `length_required` without a Content-Length, `body_too_large` above `maxBytes`.
 */
export function announcedLength(header: string | undefined, maxBytes: number): number {
  if (header === undefined || !/^\d+$/.test(header)) {
    throw problem('length_required', 'The request has no Content-Length; a chunked body is not taken.', {
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

/** Looks at a body of which so many bytes have come, and throws to receive no more of it. */
export type LookAhead = (received: number) => void;

/**
 * Receives a body that fills `memory` exactly. When it fails, nothing is written into the memory any more.
 * @param lookAhead called with the bytes so far whenever more has come, but for the last time.
 * @throws {ProblemError} `malformed_body` when more or fewer bytes come; the signal's reason once it fires.
 */
export function receiveBody(
  stream: Readable,
  memory: ArrayBufferLike,
  signal: AbortSignal,
  lookAhead?: LookAhead,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const body = new Uint8Array(memory);
    const { length } = body;
    let received = 0;

    const onData = (chunk: Buffer): void => {
      if (received + chunk.length > length) return fail(wrongLength(received + chunk.length, length));
      body.set(chunk, received);
      received += chunk.length;
      if (received === length) return;
      try {
        lookAhead?.(received);
      } catch (error) {
        fail(error as Error);
      }
    };
    const onEnd = (): void => {
      if (received !== length) return fail(wrongLength(received, length));
      stopListening();
      resolve();
    };
    const onClose = (): void => fail(new ClientGoneError('the client left while sending its body'));
    const onAbort = (): void => fail(signal.reason as Error);
    const fail = (error: Error): void => {
      stopListening();
      // What still comes is thrown away; a paused stream would hold the connection.
      stream.resume();
      reject(error);
    };
    const stopListening = (): void => {
      stream.off('data', onData).off('end', onEnd).off('error', fail).off('close', onClose);
      stream.on('error', ignore);
      signal.removeEventListener('abort', onAbort);
    };

    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort);
    stream.on('data', onData).on('end', onEnd).on('error', fail).on('close', onClose);
  });
}

/** A connection that breaks after its request failed is no further event. */
function ignore(): void {}

function wrongLength(received: number, announced: number): Error {
  return problem('malformed_body', 'The body is not as long as its Content-Length says.', {
    field: 'body',
    received: `${received} bytes or more`,
    expected: `${announced} bytes`,
  });
}
