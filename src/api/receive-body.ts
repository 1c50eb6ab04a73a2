/**
 * Receives the body of a request directly into the memory that the workers read.
 * Fastify's bodyLimit does not apply to bodies that are read as streams, so the limit is checked here.
 */
import type { Readable } from 'node:stream';

import type { FastifyReply, FastifyRequest } from 'fastify';

import { problem } from '../errors.js';
import { ClientGoneError } from './request-deadline.js';

/** Above this many unread bytes, closing the connection is cheaper than reading the rest of the body. */
const MAX_UNREAD_BYTES = 262_144;

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

/** Inspects a body of which so many bytes have arrived; throws to refuse the rest of it. */
export type LookAhead = (received: number) => void;

/**
 * Receives a body that fills `memory` exactly. After a failure, nothing more is written into the memory.
 * @param lookAhead called after each chunk except the last.
 * @throws {ProblemError} `malformed_body` when more or fewer bytes arrive; the signal's reason once it fires.
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
      // The rest is discarded, because a paused stream would keep the connection open.
      stream.resume();
      reject(error);
    };
    const stopListening = (): void => {
      stream.off('data', onData).off('end', onEnd).off('error', fail).off('close', onClose);
      // Once a request has failed, a broken connection needs no handling.
      stream.on('error', () => {});
      signal.removeEventListener('abort', onAbort);
    };

    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort);
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

/** Closes the connection after an answer that was sent before a large body was read. */
export function closeIfMuchIsUnread(request: FastifyRequest, reply: FastifyReply): void {
  const announced = Number(request.headers['content-length'] ?? Infinity);
  if (!request.raw.readableEnded && announced > MAX_UNREAD_BYTES) reply.header('connection', 'close');
}
