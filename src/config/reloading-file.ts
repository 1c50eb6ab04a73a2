/**
 * Owns a file that the operator edits while the service runs: read at the start, looked at again and again, and taken
 * over when its text has changed. What cannot be used is told, and what held before goes on to hold.
 *
 * It is read and not watched: events go missing on network file systems and where a ConfigMap swaps a folder beneath.
 */
import { readFile } from 'node:fs/promises';

import { messageOf } from '../errors.js';

const DEFAULT_INTERVAL_MS = 2000;

export interface ReloadingFileOptions<Content> {
  readonly path: string;
  /** Reads the text; what it throws is the reason to refuse it. */
  readonly parse: (text: string) => Content;
  /** Told of every new content but the first. */
  readonly onLoad?: (content: Content) => void;
  /** Told once of every text that is refused. */
  readonly onRefuse?: (reason: string) => void;
  /** 2000 when left out. */
  readonly intervalMs?: number;
}

/** What one look at the file showed. */
interface Sight {
  readonly text?: string;
  readonly failure?: string;
}

export class ReloadingFile<Content> {
  readonly #options: ReloadingFileOptions<Content>;
  readonly #timer: NodeJS.Timeout;
  #content: Content;
  #refusal: string | undefined;
  /** The text that was last judged; undefined when there was none to read. */
  #taken: string | undefined;
  #lastSeen: Sight;
  #looking = false;

  private constructor(options: ReloadingFileOptions<Content>, text: string, content: Content) {
    this.#options = options;
    this.#taken = text;
    this.#lastSeen = { text };
    this.#content = content;
    this.#timer = setInterval(() => void this.#look(), options.intervalMs ?? DEFAULT_INTERVAL_MS).unref();
  }

  /** @throws {Error} when the file cannot be read or used: at the start there is nothing to fall back on. */
  static async open<Content>(options: ReloadingFileOptions<Content>): Promise<ReloadingFile<Content>> {
    try {
      const text = await readFile(options.path, 'utf8');
      return new ReloadingFile(options, text, options.parse(text));
    } catch (error) {
      throw new Error(`${options.path} cannot be used: ${messageOf(error)}`, { cause: error });
    }
  }

  /** What holds. */
  get content(): Content {
    return this.#content;
  }

  /** Why the file as it stands is not what holds; undefined when it is. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    const seen = await this.#read();
    this.#looking = false;
    // Editors write in several steps: only what looks the same twice is what the operator meant.
    const isSettled = seen.text === this.#lastSeen.text && seen.failure === this.#lastSeen.failure;
    this.#lastSeen = seen;
    if (isSettled) this.#take(seen);
  }

  async #read(): Promise<Sight> {
    try {
      return { text: await readFile(this.#options.path, 'utf8') };
    } catch (error) {
      return { failure: `cannot be read: ${messageOf(error)}` };
    }
  }

  #take({ text, failure }: Sight): void {
    const isNew = text !== this.#taken;
    this.#taken = text;
    if (text === undefined) return this.#refuse(failure ?? 'cannot be read');
    if (!isNew) return;
    try {
      this.#content = this.#options.parse(text);
    } catch (error) {
      return this.#refuse(messageOf(error));
    }
    this.#refusal = undefined;
    this.#options.onLoad?.(this.#content);
  }

  #refuse(reason: string): void {
    if (reason === this.#refusal) return;
    this.#refusal = reason;
    this.#options.onRefuse?.(reason);
  }
}
