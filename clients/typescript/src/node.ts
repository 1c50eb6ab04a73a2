/** `@diffusion-probe/client/node`: on a pool of connections of undici, for Node, and for Unix domain sockets. */
import { InvalidInputError } from './errors.js';
import { checkOrigin, type ClientOptions } from './options.js';
import { ServiceClient } from './probe-client.js';
import { httpByUndici } from './undici-http.js';

export { InvalidInputError, RefusedError } from './errors.js';
export type {
  CallOptions,
  Conditions,
  Decision,
  Dtype,
  FeedbackAnswer,
  FeedbackItem,
  Model,
  Policy,
  Problem,
  SampleResult,
  ScoreCallOptions,
  ScoredGroup,
  ScoreFailure,
  ScoreInput,
  ScoreOutcome,
  ScoreRequestOptions,
  TensorData,
  UnscoredGroup,
} from './index.js';

const DEFAULT_CONNECTIONS = 16;
const UNIX_SOCKET = /^unix:(?:\/\/)?(?=\/.)/;

export interface ProbeClientOptions extends ClientOptions {
  /** The largest number of open connections; 16 when omitted. */
  readonly connections?: number;
  /** Certificate authorities and the client's certificate for https, as `node:tls` takes them. */
  readonly tls?: {
    readonly ca?: string | Buffer;
    readonly cert?: string | Buffer;
    readonly key?: string | Buffer;
  };
}

/** Calls one service over a pool of connections. */
export class ProbeClient extends ServiceClient {
  /**
   * @param origin as that of the ProbeClient on `fetch`, or a Unix domain socket on the same host, such as
   * unix:/run/diffusion-probe.sock.
   * @throws {InvalidInputError}
   */
  constructor(origin: string | URL, options: ProbeClientOptions = {}) {
    const { connections = DEFAULT_CONNECTIONS, tls } = options;
    // Bun puts a stub in place of undici, whose calls fail.
    if (process.versions['bun'] !== undefined)
      throw new InvalidInputError('runtime', 'Bun', 'Node; Bun uses @diffusion-probe/client, without /node');
    if (!Number.isSafeInteger(connections) || connections < 1)
      throw new InvalidInputError('connections', String(connections), 'a whole number from 1');
    const isSocket = typeof origin === 'string' && UNIX_SOCKET.test(origin);
    // HTTP needs a host name, which a Unix domain socket ignores.
    const url = isSocket ? 'http://localhost' : checkOrigin(origin);
    const socketPath = isSocket ? origin.replace(UNIX_SOCKET, '') : undefined;
    super(httpByUndici(url, { connections, socketPath, tls }), options);
  }
}
