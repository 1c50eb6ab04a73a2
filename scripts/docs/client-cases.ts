/** The page docs/client-cases.md: the shared cases of the clients as a table. */
import { readFile } from 'node:fs/promises';

import { markdownTable } from './markdown.js';

const FILE = 'test/client-cases.json';

interface Step {
  readonly call?: string;
  readonly times?: number;
  readonly server?: unknown;
  readonly wait_ms?: number;
  readonly expect?: Readonly<Record<string, string | number | readonly string[]>>;
}

interface Case {
  readonly name: string;
  readonly server?: unknown;
  readonly steps: readonly Step[];
}

export async function clientCasesPage(): Promise<string> {
  const { cases } = JSON.parse(await readFile(FILE, 'utf8')) as { cases: readonly Case[] };
  const rows = cases.map(({ name, server, steps }) => [
    name,
    server === undefined ? 'the service' : 'a hostile server',
    steps.map(stepText).join('; '),
  ]);
  return `# What every client does

The Python clients (\`ProbeClient\`, \`AsyncProbeClient\`) and both entry points of the TypeScript client play these ${cases.length} cases of
[${FILE}](../${FILE}), to the real service or to a server that misbehaves. A client for another language can play them too: the file says
how. \`npm run generate:docs\` makes this page.

${markdownTable(['case', 'against', 'calls, and what the caller sees'], rows)}
`;
}

function stepText({ call, times = 1, server, wait_ms: waitMs, expect = {} }: Step): string {
  if (waitMs !== undefined) return `${waitMs} ms pass`;
  if (call === undefined)
    return typeof server === 'string' ? `the server: ${server}` : 'the server changes its replies';
  const { outcome, reason, status, decisions } = expect;
  const details = [reason, status, decisions]
    .filter((value) => value !== undefined)
    .map((value) => (Array.isArray(value) ? value.join(' or ') : String(value)));
  const seen = [String(outcome), ...(details.length > 0 ? [`(${details.join(', ')})`] : [])].join(' ');
  return `${call}${times > 1 ? ` × ${times}` : ''}: ${seen}`;
}
