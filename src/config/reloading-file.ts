/**
 * A file that is read at the start and again at intervals, and loaded when its text has changed. A text that cannot be
 * used is reported, and the previous version stays in force.
 *
 * It polls, because file events get lost on network file systems and when a ConfigMap replaces a folder.
 */
import { readFile } from 'node:fs/promises';

import { messageOf, StartError } from '../errors.js';

const DEFAULT_INTERVAL_MS = 2000;

export interface ReloadingFileOptions<Content> {
  readonly path: string;
  /** Reads the text; the message of an error that it throws is the reason of the refusal. */
  readonly parse: (text: string) => Content;
  /** Called with every new content except the first. */
  readonly onLoad?: () => void;
  /** Called once for every text that is refused. */
  readonly onRefuse?: (reason: string) => void;
  /** Time between two reads, ms; 2000 when omitted. */
  readonly intervalMs?: number;
}

/** The result of one read. */
interface ReadResult {
  readonly text?: string;
  readonly failure?: string;
}

export class ReloadingFile<Content> {
  readonly #options: ReloadingFileOptions<Content>;
  readonly #timer: NodeJS.Timeout;
  #content: Content;
  #refusal: string | undefined;
  /** The last text that was loaded or refused; undefined when the file could not be read. */
  #lastText: string | undefined;
  #lastRead: ReadResult;
  #isPolling = false;

  private constructor(options: ReloadingFileOptions<Content>, text: string, content: Content) {
    this.#options = options;
    this.#lastText = text;
    this.#lastRead = { text };
    this.#content = content;
    this.#timer = setInterval(() => void this.#poll(), options.intervalMs ?? DEFAULT_INTERVAL_MS).unref();
  }

  /** @throws {StartError} when the file cannot be read or used: at the start there is no previous version. */
  static async open<Content>(options: ReloadingFileOptions<Content>): Promise<ReloadingFile<Content>> {
    try {
      const text = decodeText(await readFile(options.path));
      return new ReloadingFile(options, text, options.parse(text));
    } catch (error) {
      const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      const reason = isMissing ? 'there is no such file' : messageOf(error);
      throw new StartError(`${options.path} cannot be used: ${reason}`, { cause: error });
    }
  }

  /** The content in force. */
  get content(): Content {
    return this.#content;
  }

  /** Why the current file was refused; undefined when its content is in force. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #poll(): Promise<void> {
    if (this.#isPolling) return;
    this.#isPolling = true;
    const result = await this.#read();
    this.#isPolling = false;
    // Editors write in several steps, so a text counts only when two reads in a row agree.
    const isSettled = result.text === this.#lastRead.text && result.failure === this.#lastRead.failure;
    this.#lastRead = result;
    if (isSettled) this.#apply(result);
  }

  async #read(): Promise<ReadResult> {
    try {
      return { text: decodeText(await readFile(this.#options.path)) };
    } catch (error) {
      return { failure: `cannot be read: ${messageOf(error)}` };
    }
  }

  #apply({ text, failure }: ReadResult): void {
    const isNew = text !== this.#lastText;
    this.#lastText = text;
    if (text === undefined) return this.#refuse(failure ?? 'cannot be read');
    if (!isNew) return;
    try {
      this.#content = this.#options.parse(text);
    } catch (error) {
      return this.#refuse(messageOf(error));
    }
    this.#refusal = undefined;
    this.#options.onLoad?.();
  }

  #refuse(reason: string): void {
    if (reason === this.#refusal) return;
    this.#refusal = reason;
    this.#options.onRefuse?.(reason);
  }
}

/**
 * The text of a file: UTF-8, or UTF-16 with a byte-order mark. A byte-order mark is not part of the text.
 * @throws {Error} when the bytes are neither.
 */
export function decodeText(bytes: Uint8Array): string {
  const [first, second] = bytes;
  const encoding = first === 0xff && second === 0xfe ? 'utf-16le' : 'utf-8';
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new Error('the file is not UTF-8 text');
  }
}
