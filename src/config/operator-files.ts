/** Owns the files through which an operator steers the running service: the policies, the keys of receipts and the API keys. */
import { parsePolicies, type Policies, DEFAULT_POLICIES } from './policies.js';
import { type KeyRing, parseKeys, randomKeys } from '../feedback/keys.js';
import { type ApiKeys, parseApiKeys } from './api-keys.js';
import { ReloadingFile } from './reloading-file.js';

const KEYS_WARNING =
  'FEEDBACK_KEYS_FILE is not set: receipts are signed by a key that no other replica knows and that ends with this process';

export interface OperatorFiles {
  /** What holds now. */
  policies(): Policies;
  /** Why the policies file as it stands does not hold; undefined when it does or there is none. */
  policiesRefusal(): string | undefined;
  /** What signs and checks receipts now. */
  keys(): KeyRing;
  /** The keys that callers must show now; undefined where they need none. */
  apiKeys(): ApiKeys | undefined;
  /** Stops looking at the files. */
  close(): void;
}

export const OPERATOR_FILES = ['policies', 'feedback_keys', 'api_keys'] as const;
export const RELOAD_OUTCOMES = ['loaded', 'refused'] as const;

export type OperatorFile = (typeof OPERATOR_FILES)[number];
export type ReloadOutcome = (typeof RELOAD_OUTCOMES)[number];

/** The part of a logger that is needed here; pino's fits. */
export interface OperatorLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface OperatorFilesOptions {
  /** The policies as shipped, and keys of this process alone, where there is no file. */
  readonly policiesFile?: string;
  readonly feedbackKeysFile?: string;
  /** Everybody may ask where there is no file. */
  readonly apiKeysFile?: string;
  readonly log: OperatorLog;
  readonly onReload: (file: OperatorFile, outcome: ReloadOutcome) => void;
  /** How often the files are looked at, ms. */
  readonly intervalMs?: number;
}

/**
 * Reads the files and keeps up with them.
 * @throws {Error} when a file cannot be used: the service must not start on other policies than it was given.
 */
export async function openOperatorFiles(options: OperatorFilesOptions): Promise<OperatorFiles> {
  const { policiesFile, feedbackKeysFile, apiKeysFile, log } = options;
  const policies = policiesFile
    ? await ReloadingFile.open({
        path: policiesFile,
        parse: parsePolicies,
        ...reporting(options, 'policies', policiesFile),
      })
    : undefined;
  const keys = feedbackKeysFile
    ? await ReloadingFile.open({
        path: feedbackKeysFile,
        parse: parseKeys,
        ...reporting(options, 'feedback_keys', feedbackKeysFile),
      })
    : undefined;
  const apiKeys = apiKeysFile
    ? await ReloadingFile.open({
        path: apiKeysFile,
        parse: parseApiKeys,
        ...reporting(options, 'api_keys', apiKeysFile),
      })
    : undefined;
  const ownKeys = randomKeys();
  if (!keys) log.warn({ key: ownKeys.currentId }, KEYS_WARNING);
  return {
    policies: () => policies?.content ?? DEFAULT_POLICIES,
    policiesRefusal: () => policies?.refusal,
    keys: () => keys?.content ?? ownKeys,
    apiKeys: () => apiKeys?.content,
    close: () => {
      policies?.close();
      keys?.close();
      apiKeys?.close();
    },
  };
}

function reporting({ log, onReload, intervalMs }: OperatorFilesOptions, file: OperatorFile, path: string) {
  return {
    ...(intervalMs !== undefined && { intervalMs }),
    onLoad: () => {
      log.info({ file, path }, 'a changed file was taken over');
      onReload(file, 'loaded');
    },
    onRefuse: (reason: string) => {
      log.error({ file, path, reason }, 'a changed file was refused; what held before still holds');
      onReload(file, 'refused');
    },
  };
}
