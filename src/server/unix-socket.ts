/**
 * Owns the Unix domain socket beside TCP: for backends on the same host, for which it is cheaper. Its connections are
 * handed to the one HTTP server, so that routes, limits and timeouts are the same on both.
 */
import { once } from 'node:events';
import { lstat, unlink } from 'node:fs/promises';
import type { Server as HttpServer } from 'node:http';
import { connect, createServer } from 'node:net';

export interface UnixSocket {
  readonly path: string;
  /** Takes no more connections and removes the file; resolves when the connections there are have ended. */
  close(): Promise<void>;
}

/**
 * Listens on a path. A file that a process which is no more has left there is removed.
 * @throws {Error} when another process listens there, or the path belongs to something else.
 */
export async function listenOnUnixSocket(path: string, server: HttpServer): Promise<UnixSocket> {
  await removeStale(path);
  // https://nodejs.org/api/http.html#event-connection: connections may be injected by emitting the event.
  const listener = createServer({ noDelay: true }, (socket) => server.emit('connection', socket));
  listener.listen(path);
  await once(listener, 'listening');
  return {
    path,
    close: async () => {
      const closed = once(listener, 'close');
      // This removes the file too.
      listener.close();
      await closed;
    },
  };
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  if (!found.isSocket()) throw new Error(`${path} is there already and no socket`);
  if (await isAnswered(path)) throw new Error(`another process listens on ${path}`);
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
