/** Owns the conversation between the benchmark and its own child processes: an order, then its answer. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** What is ordered from one kind of child process, and what comes back. */
export interface Conversation {
  readonly order: object;
  readonly answer: unknown;
}

type Reply<Answer> = { readonly answer: Answer } | { readonly error: string };

/** A child process that carries out orders, one at a time. */
export interface OrderTaker<Talk extends Conversation> {
  readonly pid: number;
  /** @throws {Error} when the order failed or the process ended. */
  ask(order: Talk['order']): Promise<Talk['answer']>;
  stop(): Promise<void>;
}

/** Starts a module that calls answerOrders(). */
export function startOrderTaker<Talk extends Conversation>(
  module: URL,
  parameters: readonly string[],
  environment: NodeJS.ProcessEnv,
): OrderTaker<Talk> {
  const child = fork(module, parameters, { env: environment, serialization: 'advanced' });
  const exit = once(child, 'exit');
  return {
    pid: child.pid ?? NaN,
    ask: async (order) => {
      const reply = nextReply<Talk['answer']>(child, exit);
      child.send(order);
      const result = await reply;
      if ('error' in result) throw new Error(result.error);
      return result.answer;
    },
    stop: async () => {
      if (child.connected) child.disconnect();
      await exit;
    },
  };
}

/** Keeps this process answering orders until the one that gives them goes away. */
export function answerOrders<Talk extends Conversation>(
  carryOut: (order: Talk['order']) => Promise<Talk['answer']>,
): void {
  const answer = async (order: Talk['order']): Promise<void> => {
    const reply = await carryOut(order).then(
      (value): Reply<Talk['answer']> => ({ answer: value }),
      (error: unknown): Reply<Talk['answer']> => ({
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
    );
    process.send?.(reply);
  };
  process.on('message', (order: Talk['order']) => void answer(order));
  // Threads would keep it alive.
  process.once('disconnect', () => process.exit());
}

async function nextReply<Answer>(child: ChildProcess, exit: Promise<unknown[]>): Promise<Reply<Answer>> {
  const gone = exit.then(([code, signal]): never => {
    throw new Error(
      `a process of the benchmark ended (${String(code ?? signal)}): ${child.spawnargs.join(' ')}`,
    );
  });
  const message = once(child, 'message').then(([reply]) => reply as Reply<Answer>);
  return Promise.race([message, gone]);
}
