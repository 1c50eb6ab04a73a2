/** Reads test/client-cases.json, whose `about` says what its members mean, and makes the arguments of its calls. */
import { readFile } from 'node:fs/promises';

import type {
  FeedbackItem,
  ScoreCallOptions,
  ScoreInput,
  ScoreOutcome,
} from '../../clients/typescript/src/index.js';
import { readExample } from './examples.js';
import type { Reply } from './hostile-server.js';

const SHAPE = [3, 2, 4, 5, 5];
const QUALITY = 0.5;
const HALF_BYTES = 2;

type Options = Readonly<Record<string, unknown>>;

export interface CallExpectation {
  readonly outcome: 'scored' | 'answered' | 'failed_open' | 'nothing' | 'raised';
  readonly decisions?: 'keep' | 'drop' | 'mixed';
  readonly reason?: string | readonly string[];
  readonly status?: number;
  readonly code?: string;
  readonly accepted?: number;
  readonly refused?: number;
  readonly within_ms?: number;
}

export interface CallStep {
  readonly call: 'score' | 'feedback' | 'models';
  readonly options?: Options;
  readonly attention?: readonly number[];
  readonly example?: string;
  readonly timestep?: number;
  readonly receipts?: 'last' | readonly string[];
  readonly times?: number;
  readonly at_once?: boolean;
  readonly expect: CallExpectation;
}

export type Step =
  | CallStep
  | { readonly server: 'stop' | 'start' | readonly Reply[] }
  | { readonly wait_ms: number };

export interface ServiceOptions {
  readonly settings: Readonly<Record<string, string>>;
  readonly api_keys?: readonly string[];
}

export interface ClientCase {
  readonly name: string;
  readonly client?: Options & { readonly path?: string };
  readonly server?: readonly Reply[];
  readonly service?: ServiceOptions;
  readonly steps: readonly Step[];
  readonly expect?: {
    readonly requests?: number | readonly [number, number];
    readonly paths?: readonly string[];
    readonly failures?: Readonly<Record<string, number>>;
    readonly mistakes?: number;
    readonly logged?: number;
  };
}

export interface ClientCases {
  readonly bodies: Readonly<Record<string, unknown>>;
  readonly cases: readonly ClientCase[];
}

export async function readCases(): Promise<ClientCases> {
  return JSON.parse(await readFile('test/client-cases.json', 'utf8')) as ClientCases;
}

/** Names of the JSON contract in the style of the client: `deadline_ms` is `deadlineMs`. */
export function inCamelCase(options: Options = {}): Record<string, unknown> {
  const camelCase = (name: string): string =>
    name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [camelCase(name), value]));
}

export function callOptions({ options }: CallStep): ScoreCallOptions {
  return inCamelCase(options);
}

export async function scoreInput({ attention = SHAPE, example, timestep }: CallStep): Promise<ScoreInput> {
  const elements = attention.reduce((product, axis) => product * axis, 1);
  const data = new Uint8Array(example === undefined ? elements * HALF_BYTES : 0);
  const input = example === undefined ? undefined : await readExample(example);
  return {
    ...(input ?? { attention: { dtype: 'F16', shape: attention, data }, timestep: 1 }),
    ...(timestep !== undefined && { timestep }),
  };
}

/** @param last the outcome of the last score. */
export function feedbackItems({ receipts = [] }: CallStep, last: ScoreOutcome | undefined): FeedbackItem[] {
  const kept = last?.results.filter(({ decision }) => decision === 'keep') ?? [];
  const all = receipts === 'last' ? kept.map(({ receipt = '' }) => receipt) : receipts;
  return all.map((receipt) => ({ receipt, quality: QUALITY }));
}
