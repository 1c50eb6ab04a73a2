/** `diffusion-probe-server score FILE`: sends the request in a file to a service, and prints its decisions. */
import { readFile } from 'node:fs/promises';

import { messageOf } from '../errors.js';
import { EXIT_FAILURE, EXIT_USAGE, UsageError, usageText } from '../terminal/command-line.js';
import { decisionText } from './decision-text.js';
import { readScoreOptions, SCORE_USAGE, type ScoreOptions } from './score-options.js';

const ANSWER_TIMEOUT_MS = 10_000;

/** The file or the service is not there. */
class MissingError extends Error {}

/** Prints to standard output, or one sentence to standard error, and sets the exit code. */
export async function runScore(args: readonly string[]): Promise<void> {
  // Nothing is left to do for a reader that has gone, such as `head`.
  process.stdout.on('error', () => {});
  try {
    const options = readScoreOptions(args);
    process.stdout.write(options === undefined ? SCORE_USAGE : await score(options));
  } catch (error) {
    const isUsage = error instanceof UsageError;
    process.exitCode = isUsage || error instanceof MissingError ? EXIT_USAGE : EXIT_FAILURE;
    const text = isUsage ? usageText(error, 'diffusion-probe-server score --help') : `${messageOf(error)}\n`;
    process.stderr.write(text);
  }
}

async function score({ file, url, policy, apiKey, isJson }: ScoreOptions): Promise<string> {
  const body = await readFile(file).catch((cause: unknown) => {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new MissingError(
      isMissing ? `there is no file ${file}` : `${file} cannot be read: ${messageOf(cause)}`,
    );
  });
  const type = file.endsWith('.json') ? 'application/json' : 'application/octet-stream';
  const headers = {
    'content-type': type,
    ...(policy !== undefined && { 'x-policy': policy }),
    ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
  };
  const text = await ask(new URL('/score', url), { method: 'POST', headers, body });
  const answer = parse(text);
  if (isJson) return `${JSON.stringify(answer, null, 2)}\n`;
  return decisionText(answer, url);
}

/** @throws {MissingError} when no service answers. @throws {Error} with the service's reason when it refuses. */
async function ask(url: URL, request: RequestInit): Promise<string> {
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  const response = await fetch(url, { ...request, signal }).catch(() => {
    if (signal.aborted) throw new Error(`${url.origin} gave no answer within ${ANSWER_TIMEOUT_MS / 1000} s`);
    throw new MissingError(
      `no service answers at ${url.origin}: start one with diffusion-probe-server (in a checkout: npm start), or name another with --url`,
    );
  });
  const text = await response.text();
  if (response.ok) return text;
  const { title, detail } = (parse(text) ?? {}) as { title?: string; detail?: string };
  const reason = title === undefined ? '' : `: ${title}${detail === undefined ? '' : `: ${detail}`}`;
  throw new Error(`${url.origin} answered with status ${response.status}${reason}`);
}

/** Undefined when the text is not JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
