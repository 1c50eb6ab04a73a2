/**
 * Ends a connection so that the caller can read its last answer. Closing a socket that has unread bytes resets the connection,
 * and a reset discards the answer while the caller still sends. So the service ends only its own half, and discards what comes
 * until the caller closes. See docs/adr/0032-linger-after-the-last-answer.md.
 */
import type { Socket } from 'node:net';

export interface LingerLimits {
  /** Bytes that are discarded before the connection is cut. */
  readonly bytes: number;
  /** Time from the end of the answer until the connection is cut, ms. */
  readonly timeMs: number;
  /** The same, when nothing comes, ms. */
  readonly silenceMs: number;
}

/** Enough for four of the largest bodies that the preset limit admits. */
const LIMITS: LingerLimits = { bytes: 268_435_456, timeMs: 30_000, silenceMs: 3000 };

/** Ends a connection after all that was written to it. */
export function linger(socket: Socket, limits = LIMITS): void {
  const timers: NodeJS.Timeout[] = [];
  discardInput(socket, limits.bytes, () => timers[0]?.refresh());
  // Not earlier, because a caller may read a large answer slowly.
  socket.once('finish', () => {
    for (const ms of [limits.silenceMs, limits.timeMs]) timers.push(setTimeout(() => socket.destroy(), ms));
  });
  socket.once('close', () => timers.forEach(clearTimeout));
  socket.end();
}

/** Takes a connection from the HTTP parser, and discards what it brings. When that is too much, the connection is cut. */
export function discardInput(socket: Socket, maxBytes = LIMITS.bytes, onData?: () => void): void {
  let left = maxBytes;
  const take = (): void => {
    // Node detaches its parser when a listener for data is added.
    socket.removeAllListeners('data').on('data', (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) socket.destroy();
      else onData?.();
    });
  };
  // At the end of the input, the parser would report an incomplete request, or end the answers as well.
  socket.removeAllListeners('end');
  // While the parser has the connection, only its own listener starts reading again.
  if (socket.isPaused()) socket.once('resume', take).resume();
  else take();
}
