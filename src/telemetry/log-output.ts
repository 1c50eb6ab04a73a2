/**
 * Writes log lines to a file descriptor without ever waiting for its reader. A reader that stops, such as a stuck log shipper,
 * would otherwise block the event loop: Node and pino write synchronously to pipes.
 */
import { write } from 'node:fs';

/** Lines beyond this many characters in the queue are dropped and counted. */
const MAX_QUEUED = 1_048_576;
const RETRY_MS = 100;

export class LogOutput {
  readonly #fd: number;
  readonly #onClosed: () => void;
  #queue: string[] = [];
  #queued = 0;
  #dropped = 0;
  #isWriting = false;
  #isClosed = false;
  #waiters: (() => void)[] = [];

  /** @param onClosed called once, when the reader has closed its end. */
  constructor(fd: number, onClosed: () => void) {
    this.#fd = fd;
    this.#onClosed = onClosed;
  }

  write(line: string): void {
    if (this.#isClosed) return;
    if (this.#queued + line.length > MAX_QUEUED) {
      this.#dropped += 1;
      return;
    }
    this.#queue.push(line);
    this.#queued += line.length;
    this.#writeQueue();
  }

  /** Whether all lines so far were written within `limitMs`. */
  async flushed(limitMs: number): Promise<boolean> {
    if (!this.#isWriting) return true;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), limitMs);
      this.#waiters.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  #writeQueue(): void {
    if (this.#isWriting) return;
    if (this.#queue.length === 0) {
      for (const onWritten of this.#waiters.splice(0)) onWritten();
      return;
    }
    if (this.#dropped > 0) {
      this.#queue.push(
        `${JSON.stringify({ level: 'warn', dropped: this.#dropped, msg: 'log lines were dropped' })}\n`,
      );
      this.#dropped = 0;
    }
    const bytes = Buffer.from(this.#queue.splice(0).join(''));
    this.#queued = 0;
    this.#isWriting = true;
    this.#writeBytes(bytes);
  }

  #writeBytes(bytes: Buffer): void {
    write(this.#fd, bytes, (error, written) => {
      if (error?.code === 'EAGAIN') setTimeout(() => this.#writeBytes(bytes), RETRY_MS);
      else if (error) this.#close(error.code === 'EPIPE');
      else if (written < bytes.length) this.#writeBytes(bytes.subarray(written));
      else {
        this.#isWriting = false;
        this.#writeQueue();
      }
    });
  }

  #close(isPipe: boolean): void {
    this.#isClosed = true;
    this.#isWriting = false;
    this.#queue = [];
    this.#writeQueue();
    if (isPipe) this.#onClosed();
  }
}
