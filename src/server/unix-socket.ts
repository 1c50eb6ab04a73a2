/**
 * Listens on a Unix domain socket beside TCP, which costs backends on the same host less. The HTTP server of the app
 * takes its connections, so that routes, limits and timeouts are the same on both.
 */
import { once } from 'node:events';
import { lstat, unlink } from 'node:fs/promises';
import type { Server as HttpServer } from 'node:http';
import { connect, createServer } from 'node:net';

import { messageOf, StartError } from '../errors.js';

export interface UnixSocket {
  /** Stops listening and removes the file; resolves when all connections have ended. */
  close(): Promise<void>;
}

/**
 * Listens on a path. Removes the socket file of a process that has ended without removing it.
 * @throws {StartError} when another process listens there, when the path is not a socket, or when it cannot be created.
 */
export async function listenOnUnixSocket(path: string, server: HttpServer): Promise<UnixSocket> {
  await removeStale(path);
  // https://nodejs.org/api/http.html#event-connection: connections may be injected by emitting the event. As those of the
  // HTTP server, they can be read after their end and written after the caller's.
  const listener = createServer({ noDelay: true, allowHalfOpen: true }, (socket) =>
    server.emit('connection', socket),
  );
  listener.listen(path);
  await once(listener, 'listening').catch((cause: unknown) => {
    throw new StartError(
      `${path} cannot be created: ${messageOf(cause)}; choose another path with --listen`,
      {
        cause,
      },
    );
  });
  return {
    close: async () => {
      const closed = once(listener, 'close');
      // close() also removes the file.
      listener.close();
      await closed;
    },
  };
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  if (!found.isSocket())
    throw new StartError(`${path} exists and is not a socket; choose another path with --listen`);
  if (await isAnswered(path))
    throw new StartError(`another process listens on ${path}; end it, or choose another path with --listen`);
  await unlink(path);
}

async function isAnswered(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
