/** Owns what becomes of a connection whose request was answered before its body was read. */
import type { FastifyReply, FastifyRequest } from 'fastify';

/** Above this many unread bytes it is cheaper to lose the connection than to take in a body that nobody will read. */
const MAX_UNREAD_BYTES = 262_144;

export function closeIfMuchIsUnread(request: FastifyRequest, reply: FastifyReply): void {
  const announced = Number(request.headers['content-length'] ?? Infinity);
  if (!request.raw.readableEnded && announced > MAX_UNREAD_BYTES) reply.header('connection', 'close');
}
