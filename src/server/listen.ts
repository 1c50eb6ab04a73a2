/** Listens on a port. A failure says what to do about it. */
import type { FastifyInstance } from 'fastify';

import { StartError } from '../errors.js';

export interface ListenOptions {
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  /** The flag that chooses the port. */
  readonly flag: string;
}

/**
 * @returns the address.
 * @throws {StartError} when the port or the host cannot be used.
 */
export async function listen(app: FastifyInstance, { host, port, flag }: ListenOptions): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    const advice = adviceFor((error as NodeJS.ErrnoException).code, { host, port, flag });
    throw advice === undefined ? error : new StartError(advice, { cause: error });
  }
}

function adviceFor(code: string | undefined, { host, port, flag }: ListenOptions): string | undefined {
  switch (code) {
    case 'EADDRINUSE':
      return `port ${port} of ${host} is taken: end what listens there, or choose another with ${flag} (0 takes any free one)`;
    case 'EACCES':
      return `port ${port} needs more rights than this user has: choose one from 1024 with ${flag}`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${host} is no address of this machine: choose another with --host`;
    default:
      return undefined;
  }
}
