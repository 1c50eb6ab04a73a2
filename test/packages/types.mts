/** Compiles where the package is installed alone, for browsers: `tsc` has the types of the DOM and none of Node. */
import {
  InvalidInputError,
  type Policy,
  ProbeClient,
  RefusedError,
  type ScoredGroup,
  type ScoreInput,
} from '@diffusion-probe/client';

const policy: Policy = { name: 'top_k', k: 2 };
const input: ScoreInput = {
  attention: { dtype: 'F16', shape: [1, 1, 1, 1, 1], data: new Uint16Array(1) },
  timestep: 1,
};

export async function decide(origin: string, signal: AbortSignal): Promise<ScoredGroup['decisions']> {
  const client = new ProbeClient(origin, {
    onMistake: 'keep',
    onProblem: ({ reason }) => void reason.length,
  });
  try {
    const outcome = await client.score(input, { policy, deadlineMs: 50, signal });
    if (outcome.outcome === 'failed_open') return outcome.decisions;
    const [first] = outcome.results;
    if (first?.receipt !== undefined)
      await client.feedback([{ receipt: first.receipt, quality: first.score }]);
    return outcome.decisions;
  } catch (error) {
    if (error instanceof RefusedError)
      throw new Error(`${error.status} ${error.problem?.code}`, { cause: error });
    if (error instanceof InvalidInputError) throw new Error(error.field, { cause: error });
    throw error;
  } finally {
    await client.close();
  }
}

// @ts-expect-error A policy needs its members.
export const wrong: Policy = { name: 'top_k' };
