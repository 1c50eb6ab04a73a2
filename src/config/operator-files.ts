/** The files that an operator can edit while the service runs: the policies, the receipt keys and the API keys. */
import { parsePolicies, type Policies, DEFAULT_POLICIES } from './policies.js';
import { type KeyRing, randomKeys } from '../feedback/keys.js';
import { type ApiKeys, parseApiKeys, parseReceiptKeys } from './key-files.js';
import { ReloadingFile } from './reloading-file.js';

const RANDOM_KEY =
  'FEEDBACK_KEYS_FILE is not set: receipts are signed with a random key, so neither other replicas nor the next start can check them';
const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|::1|localhost)$/;

export interface OperatorFiles {
  /** The policies now in force. */
  policies(): Policies;
  /** Why the current policies file was refused; undefined when it is in force or there is none. */
  policiesRefusal(): string | undefined;
  /** The keys that now sign and check receipts. */
  keys(): KeyRing;
  /** The keys of which callers must now send one; undefined when none is needed. */
  apiKeys(): ApiKeys | undefined;
  /** Stops polling the files. */
  close(): void;
}

export const OPERATOR_FILES = ['policies', 'feedback_keys', 'api_keys'] as const;
export const RELOAD_OUTCOMES = ['loaded', 'refused'] as const;

export type OperatorFile = (typeof OPERATOR_FILES)[number];
export type ReloadOutcome = (typeof RELOAD_OUTCOMES)[number];

/** The methods of a logger that are needed here; pino's logger has them. */
export interface OperatorLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface OperatorFilesOptions {
  /** When omitted, the shipped policies apply. */
  readonly policiesFile?: string;
  /** When omitted, receipts are signed with a random key. */
  readonly feedbackKeysFile?: string;
  /** When omitted, callers need no key. */
  readonly apiKeysFile?: string;
  /** The address that the service listens on. On a loopback address, it has no other replicas. */
  readonly host?: string;
  readonly log: OperatorLog;
  readonly onReload: (file: OperatorFile, outcome: ReloadOutcome) => void;
  /** Time between two reads of each file, ms; 2000 when omitted. */
  readonly intervalMs?: number;
}

/**
 * Reads the files, and reloads each one that changes.
 * @throws {StartError} when a file cannot be used: the service must not start with other policies than it was given.
 */
export async function openOperatorFiles(options: OperatorFilesOptions): Promise<OperatorFiles> {
  const policies = await open(options, 'policies', options.policiesFile, parsePolicies);
  const keys = await open(options, 'feedback_keys', options.feedbackKeysFile, parseReceiptKeys);
  const apiKeys = await open(options, 'api_keys', options.apiKeysFile, parseApiKeys);
  const ownKeys = randomKeys();
  if (!keys) {
    const { log, host = '' } = options;
    log[LOOPBACK.test(host) ? 'info' : 'warn']({ key: ownKeys.currentId }, RANDOM_KEY);
  }
  return {
    policies: () => policies?.content ?? DEFAULT_POLICIES,
    policiesRefusal: () => policies?.refusal,
    keys: () => keys?.content ?? ownKeys,
    apiKeys: () => apiKeys?.content,
    close: () => {
      for (const file of [policies, keys, apiKeys]) file?.close();
    },
  };
}

async function open<Content>(
  { log, onReload, intervalMs }: OperatorFilesOptions,
  file: OperatorFile,
  path: string | undefined,
  parse: (text: string) => Content,
): Promise<ReloadingFile<Content> | undefined> {
  if (path === undefined) return undefined;
  return ReloadingFile.open({
    path,
    parse,
    ...(intervalMs !== undefined && { intervalMs }),
    onLoad: () => {
      log.info({ file, path }, 'a changed file was loaded');
      onReload(file, 'loaded');
    },
    onRefuse: (reason) => {
      log.error({ file, path, reason }, 'a changed file was refused; the previous version stays in force');
      onReload(file, 'refused');
    },
  });
}
