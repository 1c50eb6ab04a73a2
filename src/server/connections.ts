/**
 * Knows which requests of each connection are in flight. All of them are answered before a connection ends: at bytes that are
 * no request, at an answer with `connection: close`, and when the service stops.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { brokenRequestAnswer } from './broken-requests.js';
import { discardInput, linger } from './linger.js';

/** A client that sends without a pause cannot delay the close by more turns of the event loop. */
const MAX_TURNS = 100;
/** One turn accepts a connection, and the next one reads its request. */
const QUIET_TURNS = 3;

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

interface Connection {
  readonly inFlight: Set<Exchange>;
  latest?: Exchange;
  /** What had been read when the latest request was answered. With more, another one is arriving. */
  readBefore: number;
  /** Set once nothing is read any more: ends the connection when the requests before are answered. */
  end?: () => void;
}

export class Connections {
  readonly #open = new Map<Socket, Connection>();
  /** Connections and requests so far. */
  #arrivals = 0;
  #isClosing = false;

  /** Watches all connections of a server, those that are injected too. */
  constructor(server: Server) {
    server.on('connection', (socket) => this.#add(socket));
    server.prependListener('request', (request, response) => this.#begin({ request, response }));
    // The headers of these requests are checked by the app, as those of all others.
    server.on('checkExpectation', (request, response) => server.emit('request', request, response));
    server.on('checkContinue', (request, response) => {
      inviteBody(request, response);
      server.emit('request', request, response);
    });
    server.on('connect', (_request, socket: Socket) => {
      this.onClientError(new Error('There is no tunnel.'), socket);
    });
    // Node would close these without reading what has come, and without lingering (https://nodejs.org/api/http.html#servercloseidleconnections).
    server.closeIdleConnections = () => this.#closeIdle();
    server.closeAllConnections = () => {
      for (const socket of this.#open.keys()) socket.destroy();
    };
  }

  /** Whether nothing has come after this request on its connection. */
  isLatest(request: IncomingMessage): boolean {
    const connection = this.#open.get(request.socket);
    return !connection || connection.latest?.request === request;
  }

  /** Waits until the requests have been read that reached this host before. */
  async quiet(): Promise<void> {
    for (let turn = 0, quiet = 0; turn < MAX_TURNS && quiet < QUIET_TURNS; turn += 1) {
      const before = this.#arrivals;
      await nextTurn();
      quiet = this.#arrivals === before ? quiet + 1 : 0;
    }
  }

  /** Handles the server's event `clientError`: answers the requests in flight, then the bytes that are no request. */
  readonly onClientError = (error: Error & { code?: string }, socket: Socket): void => {
    const connection = this.#open.get(socket);
    if (!connection || error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
    if (connection.end) return;
    const { latest, inFlight } = connection;
    const cutOff = latest?.request.complete === false ? latest : undefined;
    // Its body cannot come any more.
    if (cutOff) inFlight.delete(cutOff);
    connection.end = () => {
      if (!cutOff?.response.headersSent) {
        // The request that waits for its body learns in this way that its client has left.
        if (cutOff && error.code === 'HPE_INVALID_EOF_STATE') return void socket.destroy();
        socket.write(brokenRequestAnswer(error.code));
      }
      socket.destroySoon();
    };
    if (inFlight.size === 0) connection.end();
    else discardInput(socket);
  };

  #add(socket: Socket): void {
    this.#arrivals += 1;
    const connection: Connection = { inFlight: new Set(), readBefore: 0 };
    this.#open.set(socket, connection);
    socket.once('close', () => this.#open.delete(socket));
    // Node calls it after an answer with `connection: close`.
    socket.destroySoon = () => {
      connection.end = () => {};
      linger(socket);
    };
  }

  #begin(exchange: Exchange): void {
    const { request, response } = exchange;
    const { socket } = request;
    const connection = this.#open.get(socket);
    if (!connection) return;
    this.#arrivals += 1;
    connection.latest = exchange;
    connection.inFlight.add(exchange);
    const settle = (): void => {
      connection.readBefore = socket.bytesRead;
      if (this.#isClosing && connection.inFlight.size === 0 && !connection.end) socket.destroySoon();
    };
    response.once('close', () => {
      connection.inFlight.delete(exchange);
      if (connection.inFlight.size === 0) connection.end?.();
      if (request.complete) settle();
      else request.once('end', settle);
    });
  }

  /** Closes the connections on which nothing is in flight or arriving, and each other one when that has been answered. */
  #closeIdle(): void {
    this.#isClosing = true;
    for (const [socket, { inFlight, readBefore, end }] of this.#open) {
      if (inFlight.size === 0 && socket.bytesRead === readBefore && !end) socket.destroy();
    }
  }
}

/** Sends `100 Continue` when the body is first read, since the headers alone may refuse the request. */
function inviteBody(request: IncomingMessage, response: ServerResponse): void {
  request.once('resume', () => {
    if (!response.headersSent) response.writeContinue();
  });
}
