/** Calls from the benchmark to its own child processes: a request, then its response. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** The requests that a child process takes, and its responses. */
export interface Call {
  readonly request: object;
  readonly response: unknown;
}

type Reply<Response> = { readonly response: Response } | { readonly error: string };

/** A child process that answers one request at a time. */
export interface Child<Kind extends Call> {
  readonly pid: number;
  /** @throws {Error} when the request failed or the process ended. */
  call(request: Kind['request']): Promise<Kind['response']>;
  stop(): Promise<void>;
}

/** Starts a module that calls answerCalls(). */
export function startChild<Kind extends Call>(
  module: URL,
  parameters: readonly string[],
  environment: NodeJS.ProcessEnv,
): Child<Kind> {
  const child = fork(module, parameters, { env: environment, serialization: 'advanced' });
  const exit = once(child, 'exit');
  return {
    pid: child.pid ?? NaN,
    call: async (request) => {
      const reply = nextReply<Kind['response']>(child, exit);
      child.send(request);
      const result = await reply;
      if ('error' in result) throw new Error(result.error);
      return result.response;
    },
    stop: async () => {
      if (child.connected) child.disconnect();
      await exit;
    },
  };
}

/** Answers the parent's requests until the parent disconnects. */
export function answerCalls<Kind extends Call>(
  handle: (request: Kind['request']) => Promise<Kind['response']>,
): void {
  const answer = async (request: Kind['request']): Promise<void> => {
    const reply = await handle(request).then(
      (response): Reply<Kind['response']> => ({ response }),
      (error: unknown): Reply<Kind['response']> => ({
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
    );
    process.send?.(reply);
  };
  process.on('message', (request: Kind['request']) => void answer(request));
  // Worker threads would keep the process alive.
  process.once('disconnect', () => process.exit());
}

async function nextReply<Response>(child: ChildProcess, exit: Promise<unknown[]>): Promise<Reply<Response>> {
  const gone = exit.then(([code, signal]): never => {
    throw new Error(
      `a process of the benchmark ended (${String(code ?? signal)}): ${child.spawnargs.join(' ')}`,
    );
  });
  const message = once(child, 'message').then(([reply]) => reply as Reply<Response>);
  return Promise.race([message, gone]);
}
