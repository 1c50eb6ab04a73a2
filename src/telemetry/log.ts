/** The log: JSON lines by pino, without the content of requests. Lines have a bounded size. */
import { type Logger, pino } from 'pino';

import { boundedJson, MAX_SHOWN_BYTES, traceOf } from '../disclosure.js';

/** @param level one of pino's levels. @param destination stdout when omitted. */
export function createLog(
  level: string,
  destination: { write(line: string): void } = process.stdout,
): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label: string) => ({ level: label }) },
      serializers: {
        // The address is content too.
        req: ({ method }: { method: string }) => ({ method }),
        res: ({ statusCode }: { statusCode: number }) => ({ status: statusCode }),
        err: traceOf,
      },
      hooks: {
        // Without a message, pino writes that of the error.
        logMethod([first, ...others], method) {
          if (typeof first === 'object' && others[0] === undefined)
            method.call(this, first, 'an error occurred');
          else method.call(this, first, ...others);
        },
      },
    },
    { write: (line: string) => destination.write(boundedLine(line)) },
  );
}

function boundedLine(line: string): string {
  if (Buffer.byteLength(line) <= MAX_SHOWN_BYTES) return line;
  return `${boundedJson(JSON.parse(line) as object)}\n`;
}
