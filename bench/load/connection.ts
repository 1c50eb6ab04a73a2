/**
 * A keep-alive connection of the load generator, which sends prepared bytes, one request at a time. It reads only the HTTP/1.1
 * that the measured servers write (every answer has a Content-Length). The generator shares the cores with the server, and a
 * general HTTP client would cost several times as much CPU time per request.
 */
import { connect, type Socket } from 'node:net';

const READ_BYTES = 65_536;
const END_OF_HEAD = '\r\n\r\n';
const STATUS_START = 'HTTP/1.1 '.length;
const STATUS_END = STATUS_START + 3;
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i;
const INFERENCE = /\r\nserver-timing:[^\r]*\binference;dur=([\d.]+)/i;
const CLOSES = /\r\nconnection: *close/i;

export interface Answer {
  readonly status: number;
  /** Whether it has scores. */
  readonly isScored: boolean;
  /** The stage `inference` in Server-Timing, when the answer has one. */
  readonly inferenceMs?: number;
}

/** The bytes of a request: a head, which may differ each time, and a body. */
export interface RequestBytes {
  readonly head: string;
  readonly body: Uint8Array;
}

export class Connection {
  readonly #port: number;
  readonly #host: string;
  /** A text that only answers with scores contain. */
  readonly #scoredMark: string;
  readonly #localAddress: string | undefined;
  #socket: Socket | undefined;
  #onAnswer: ((answer: Answer | undefined) => void) | undefined;
  #partial: Buffer | undefined;

  constructor(url: string, scoredMark: string, localAddress?: string) {
    const { hostname, port } = new URL(url);
    this.#host = hostname;
    this.#port = Number(port);
    this.#scoredMark = scoredMark;
    this.#localAddress = localAddress;
  }

  /** Connects in advance, so that no request waits for it. */
  open(): Promise<void> {
    const socket = this.#connect();
    return new Promise((resolve, reject) => {
      socket.once('connect', resolve).once('error', reject);
    });
  }

  /** @param onAnswer gets undefined when the connection broke before the answer. */
  send({ head, body }: RequestBytes, onAnswer: (answer: Answer | undefined) => void): void {
    this.#onAnswer = onAnswer;
    const socket = this.#socket ?? this.#connect();
    socket.cork();
    socket.write(head, 'latin1');
    socket.write(body);
    socket.uncork();
  }

  close(): void {
    this.#socket?.destroy();
  }

  #connect(): Socket {
    const socket: Socket = connect({
      host: this.#host,
      port: this.#port,
      noDelay: true,
      ...(this.#localAddress !== undefined && { localAddress: this.#localAddress }),
      onread: {
        buffer: Buffer.allocUnsafeSlow(READ_BYTES),
        callback: (bytes, buffer) => this.#read(socket, Buffer.from(buffer.buffer, buffer.byteOffset, bytes)),
      },
    });
    // 'close' follows and handles it.
    socket.on('error', () => {});
    socket.on('close', () => this.#onClose(socket));
    this.#socket = socket;
    this.#partial = undefined;
    return socket;
  }

  #read(socket: Socket, chunk: Buffer): boolean {
    if (socket !== this.#socket) return true;
    const bytes = this.#partial ? Buffer.concat([this.#partial, chunk]) : chunk;
    const headEnd = bytes.indexOf(END_OF_HEAD);
    const head = headEnd === -1 ? '' : bytes.toString('latin1', 0, headEnd);
    const [, length = NaN] = CONTENT_LENGTH.exec(head) ?? [];
    const bodyStart = headEnd + END_OF_HEAD.length;
    if (headEnd === -1 || bytes.length < bodyStart + Number(length)) {
      // A copy, because the next read reuses the chunk's memory.
      this.#partial = Buffer.from(bytes);
      return true;
    }
    this.#partial = undefined;
    const status = Number(head.slice(STATUS_START, STATUS_END));
    const isScored = bytes.includes(this.#scoredMark, bodyStart);
    const [, inference] = INFERENCE.exec(head) ?? [];
    if (CLOSES.test(head)) this.#abandon(socket);
    this.#settle({ status, isScored, ...(inference !== undefined && { inferenceMs: Number(inference) }) });
    return true;
  }

  #abandon(socket: Socket): void {
    this.#socket = undefined;
    socket.destroy();
  }

  #onClose(socket: Socket): void {
    if (socket !== this.#socket) return;
    this.#socket = undefined;
    this.#settle(undefined);
  }

  #settle(answer: Answer | undefined): void {
    const onAnswer = this.#onAnswer;
    this.#onAnswer = undefined;
    onAnswer?.(answer);
  }
}
