/** The answers to what Node gives no request object for: bytes that it cannot parse, and requests for a tunnel. */
import { STATUS_CODES } from 'node:http';

import { PROBLEM_TYPE, problemDocument } from '../api/problems.js';
import { boundedJson } from '../disclosure.js';
import { problem, type ProblemError } from '../errors.js';

/** The whole answer, as bytes of HTTP. @param code of Node's error. */
export function brokenRequestAnswer(code: string | undefined): string {
  const document = problemDocument(brokenRequest(code));
  const body = boundedJson(document);
  const head = [
    `HTTP/1.1 ${document.status} ${STATUS_CODES[document.status]}`,
    `content-type: ${PROBLEM_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}

function brokenRequest(code: string | undefined): ProblemError {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return problem('request_timeout', 'The request took too long to arrive.');
    case 'HPE_HEADER_OVERFLOW':
      return problem('headers_too_large', 'The headers are too large.');
    case 'HPE_INVALID_METHOD':
      return problem('malformed_request', 'The bytes are not an HTTP/1.1 request, or its method is unknown.');
    default:
      return problem('malformed_request', 'The bytes are not an HTTP/1.1 request.');
  }
}
