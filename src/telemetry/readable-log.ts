/** Turns the JSON lines of the log into lines for a person at a terminal. */
import { type PrettyOptions, prettyFactory } from 'pino-pretty';

/** In the text of the line already, or of use only to programs. */
const HIDDEN = [
  'name',
  'version',
  'reason',
  'component',
  'sha256',
  'best_batch_samples',
  'ms_per_padded_token',
  'ms_per_run',
  'measurements',
];

interface LogLine {
  readonly msg?: string;
  readonly name?: string;
  readonly version?: number;
  readonly reason?: string;
}

/** A function that turns a line of the log into a readable one, without the line end. */
export function readableLines(colorize: boolean): (line: string) => string {
  const options: PrettyOptions = {
    colorize,
    translateTime: 'SYS:HH:MM:ss',
    ignore: HIDDEN.join(),
    singleLine: true,
    // Not a template: pino-pretty would fill in braces that come from a field.
    messageFormat: (line) => messageText(line),
  };
  const pretty = prettyFactory(options);
  return (line) => pretty(line).trimEnd();
}

function messageText({ msg = '', name, version, reason }: LogLine): string {
  const probe = name === undefined ? [] : [`${name}@${version}`];
  return [msg, ...probe, ...(reason === undefined ? [] : [reason])].join(': ');
}
