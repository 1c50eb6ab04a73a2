/** HTTP by hand over a socket: whatever bytes a test wants to send, and the answers one by one. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

const ANSWER_WITHIN_MS = 5000;

export interface RawAnswer {
  readonly status: number;
  /** By name in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** One connection to the service. */
export class RawClient {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #error: NodeJS.ErrnoException | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
    socket.on('error', (error) => {
      this.#error = error;
    });
  }

  /** All complete answers so far. A 1xx is an answer too. */
  get answers(): RawAnswer[] {
    const answers: RawAnswer[] = [];
    for (let rest = this.#received; ;) {
      const end = rest.indexOf('\r\n\r\n');
      if (end < 0) return answers;
      const [first = '', ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n');
      const headers = Object.fromEntries(
        lines.map((line) => [
          line.slice(0, line.indexOf(':')).toLowerCase(),
          line.slice(line.indexOf(':') + 1).trim(),
        ]),
      );
      const bodyEnd = end + 4 + Number(headers['content-length'] ?? 0);
      if (rest.length < bodyEnd) return answers;
      const body = rest.subarray(end + 4, bodyEnd).toString();
      answers.push({ status: Number(first.split(' ')[1]), headers, body });
      rest = rest.subarray(bodyEnd);
    }
  }

  get statuses(): number[] {
    return this.answers.map(({ status }) => status);
  }

  /** Waits for so many answers, or for the end of the connection. @throws {Error} when it breaks before. */
  async receive(count = Infinity): Promise<RawAnswer[]> {
    const until = performance.now() + ANSWER_WITHIN_MS;
    while (this.answers.length < count && !this.socket.closed && performance.now() < until) await delay(5);
    if (this.answers.length < count && this.#error) throw this.#error;
    return this.answers;
  }

  /** Sends all of it before it reads anything, as simple clients do. */
  async sendAll(...parts: readonly (string | Uint8Array)[]): Promise<void> {
    this.socket.pause();
    for (const part of parts) {
      if (!this.socket.write(part))
        await Promise.race([once(this.socket, 'drain'), once(this.socket, 'close')]);
    }
    this.socket.resume();
  }
}

/** Connects to an origin (`http://…`) or to the path of a Unix socket. */
export async function rawClient(t: TestContext, address: string): Promise<RawClient> {
  const { hostname, port } = address.startsWith('/') ? { hostname: '', port: '' } : new URL(address);
  const socket = port === '' ? connect(address) : connect(Number(port), hostname);
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  return new RawClient(socket);
}

/** The head of a request with one Host header. */
export function requestHead(start: string, ...headers: readonly string[]): string {
  return [`${start} HTTP/1.1`, 'host: a', ...headers, '', ''].join('\r\n');
}
