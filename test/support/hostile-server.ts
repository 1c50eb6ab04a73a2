/** A server that answers as the replies of test/client-cases.json say: late, broken, or not at all. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

const HEAD_END = '\r\n\r\n';
const REPEATED = Buffer.alloc(65_536, 'x');

export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** The name of one of the bodies, or a text, or JSON. */
  readonly body?: unknown;
  readonly at?: 'head';
  readonly delay_ms?: number;
  readonly cut_after?: number;
  readonly drip_ms?: number;
  readonly then?: 'close';
  readonly fault?: 'silence' | 'close' | 'reset' | 'garbage' | 'endless';
}

/** One request: its reply, and how many bytes of its body have not come. */
interface Exchange {
  readonly reply: Reply;
  left: number;
}

export class HostileServer {
  /** The path of each request so far. */
  readonly paths: string[] = [];
  readonly #bodies: Readonly<Record<string, unknown>>;
  #replies: readonly Reply[];
  #replied = 0;
  #server: Server | undefined;
  #port = 0;
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(bodies: Readonly<Record<string, unknown>>, replies: readonly Reply[]) {
    this.#bodies = bodies;
    this.#replies = replies;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** How many connections are open. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Other replies from now on. */
  answerWith(replies: readonly Reply[]): void {
    this.#replies = replies;
    this.#replied = 0;
  }

  /** Listens, after a stop on the same port as before. */
  async start(): Promise<void> {
    this.#server = createServer((socket) => this.#converse(socket)).listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    const closed = this.#server && once(this.#server, 'close');
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#server = undefined;
    await closed;
  }

  #converse(socket: Socket): void {
    let unread = Buffer.alloc(0);
    let exchange: Exchange | undefined;
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket)).on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      if (exchange && exchange.left > chunk.length) {
        exchange.left -= chunk.length;
        return;
      }
      unread = Buffer.concat([unread, chunk]);
      if (!exchange) {
        const end = unread.indexOf(HEAD_END);
        if (end < 0) return;
        exchange = this.#receive(unread.subarray(0, end).toString('latin1'));
        unread = unread.subarray(end + HEAD_END.length);
        if (exchange.reply.at === 'head') this.#answer(socket, exchange.reply);
      }
      if (unread.length < exchange.left) {
        exchange.left -= unread.length;
        unread = Buffer.alloc(0);
        return;
      }
      unread = unread.subarray(exchange.left);
      if (exchange.reply.at !== 'head') this.#answer(socket, exchange.reply);
      exchange = undefined;
    });
  }

  #receive(head: string): Exchange {
    const [, path = ''] = head.split(' ');
    const [, length = '0'] = /^content-length: *(\d+)/im.exec(head) ?? [];
    this.paths.push(path);
    const reply = this.#replies[Math.min(this.#replied, this.#replies.length - 1)] ?? {};
    this.#replied += 1;
    return { reply, left: Number(length) };
  }

  #answer(socket: Socket, reply: Reply): void {
    if (reply.delay_ms === undefined) this.#act(socket, reply);
    else this.#timers.add(setTimeout(() => this.#act(socket, reply), reply.delay_ms));
  }

  #act(socket: Socket, reply: Reply): void {
    const { fault, drip_ms: dripMs, cut_after: cutAfter, then } = reply;
    if (fault === 'silence') return;
    if (fault === 'close') return void socket.destroy();
    if (fault === 'reset') return void socket.resetAndDestroy();
    if (fault === 'garbage') return void socket.end('no protocol that anybody knows\r\n\r\n');
    if (fault === 'endless') return flood(socket);
    const { head, body } = this.#response(reply);
    if (dripMs !== undefined) return this.#drip(socket, head + body, dripMs);
    if (cutAfter !== undefined) return void socket.end(head + body.slice(0, cutAfter));
    if (then === 'close') return void socket.end(head + body);
    socket.write(head + body);
  }

  #response({ status = 200, headers = {}, body: named = '', at }: Reply): { head: string; body: string } {
    const content = typeof named === 'string' && named in this.#bodies ? this.#bodies[named] : named;
    const body = typeof content === 'string' ? content : JSON.stringify(content);
    const all = {
      'content-type': 'application/json',
      ...headers,
      ...(at === 'head' && { connection: 'close' }),
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    const head = `HTTP/1.1 ${status} Status\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${lines.join('')}\r\n`;
    return { head, body };
  }

  #drip(socket: Socket, text: string, pauseMs: number): void {
    let sent = 0;
    const timer = setInterval(() => {
      socket.write(text.charAt(sent));
      sent += 1;
    }, pauseMs);
    this.#timers.add(timer);
    socket.once('close', () => clearInterval(timer));
  }
}

function flood(socket: Socket): void {
  socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n');
  const send = (): void => {
    while (!socket.destroyed && socket.write(REPEATED));
  };
  socket.on('drain', send);
  send();
}
