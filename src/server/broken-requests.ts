/** Owns the answer to what is no HTTP request: Node's parser gave up, so there is no request object to reply to. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';

import { type ProblemError, problem } from '../errors.js';
import { PROBLEM_TYPE, problemDocument } from '../api/problems.js';

/** Writes a problem document onto the bare connection and closes it. */
export function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const document = problemDocument(toProblem(error.code));
  const body = JSON.stringify(document);
  const head = [
    `HTTP/1.1 ${document.status} ${STATUS_CODES[document.status]}`,
    `content-type: ${PROBLEM_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

function toProblem(code: string | undefined): ProblemError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return problem('request_timeout', 'The request took too long to arrive.');
  if (code === 'HPE_HEADER_OVERFLOW')
    return problem('headers_too_large', 'The headers exceed what is taken.');
  return problem('malformed_request', 'What came is no HTTP/1.1 request.');
}
