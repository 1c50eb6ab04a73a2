/** The command line of `diffusion-probe-server score`. */
import * as z from 'zod';

import {
  checkOptions,
  DEFAULT_URL,
  parseArguments,
  urlOption,
  UsageError,
} from '../terminal/command-line.js';

export const SCORE_USAGE = `Asks a running service which samples of a request are worth finishing, and prints its decisions as a table.

Usage: diffusion-probe-server score FILE [options]

FILE is the body of POST /score: a safetensors file, or JSON when its name ends in .json.

The request:
  --url URL       the service (default ${DEFAULT_URL})
  --policy JSON   a policy for this request (default: the one of the request, else of the service)

The output:
  --json          the whole answer as JSON, with the receipts

  --help          this text

The variable DIFFUSION_PROBE_API_KEY holds the API key, where the service asks for one.

Example: diffusion-probe-server score examples/group.safetensors --policy '{"name": "top_k", "k": 2}'
`;

const optionsSchema = z.object({
  url: urlOption(),
  policy: z.string().refine(isJson, 'must be JSON, such as {"name": "top_k", "k": 2}').optional(),
  json: z.boolean().default(false),
});

export interface ScoreOptions {
  readonly file: string;
  readonly url: string;
  /** JSON. */
  readonly policy: string | undefined;
  readonly apiKey: string | undefined;
  /** Whether the answer is printed as it is. */
  readonly isJson: boolean;
}

/**
 * @returns undefined when the user asks for help.
 * @throws {UsageError} with all mistakes.
 */
export function readScoreOptions(args: readonly string[]): ScoreOptions | undefined {
  const { values, positionals } = parseArguments({
    args: [...args],
    allowPositionals: true,
    options: {
      url: { type: 'string' },
      policy: { type: 'string' },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) return undefined;
  const [file, ...others] = positionals;
  if (file === undefined || others.length > 0)
    throw new UsageError(`expected one file, got ${positionals.length} arguments`);
  const { url, policy, json } = checkOptions(optionsSchema, values);
  return { file, url, policy, apiKey: process.env['DIFFUSION_PROBE_API_KEY'], isJson: json };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
