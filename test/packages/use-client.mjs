/** What a user does with the client, in any runtime. .ci/packages runs it where the package is installed alone. */
import { InvalidInputError, ProbeClient, RefusedError } from '@diffusion-probe/client';

const QUALITY = 0.5;

/**
 * Scores a group, reports its feedback, and checks that mistakes are raised and that a service out of reach keeps everything.
 * @param origin of a running service.
 * @param file the bytes of a file of examples/.
 * @returns one decision per sample.
 */
export async function useClient(origin, file) {
  const client = new ProbeClient(origin, { deadlineMs: 30_000 });
  const input = readInput(file);
  // Random, because the service remembers what it was told before.
  const conditions = { dtype: 'float16', call: { guidance_scale: Math.random() } };
  const outcome = await client.score(input, { conditions });
  expect(outcome.outcome === 'scored', `not scored: ${outcome.reason} ${outcome.error?.message}`);
  expect(outcome.conditions === 'unknown', `the conditions are ${outcome.conditions}`);
  const foreign = await client.score(input, { conditions });
  expect(foreign.conditions === 'foreign', `the conditions are ${foreign.conditions}`);
  const kept = outcome.results.filter(({ decision }) => decision === 'keep');
  const feedback = await client.feedback(kept.map(({ receipt }) => ({ receipt, quality: QUALITY })));
  expect(
    feedback?.accepted === kept.length,
    `${feedback?.accepted} of ${kept.length} receipts were accepted`,
  );
  expect((await client.models())?.length > 0, 'no models');

  const refused = await raised(client.score(input, { captureId: '0000000000000000' }));
  expect(refused instanceof RefusedError && refused.problem?.code === 'foreign_capture', `${refused}`);
  const invalid = await raised(client.score({ ...input, timestep: NaN }));
  expect(invalid instanceof InvalidInputError && invalid.field === 'timestep', `${invalid}`);

  const failures = [];
  const lost = new ProbeClient('http://127.0.0.1:1', { onProblem: (failure) => failures.push(failure) });
  const failed = await lost.score(input);
  expect(failed.reason === 'network' && failures.length === 1, `${failed.outcome} ${failed.reason}`);
  expect(failed.decisions.length === outcome.decisions.length, 'not every sample is kept');
  await client.close();
  return outcome.decisions;
}

async function raised(promise) {
  return promise.then(
    () => undefined,
    (error) => error,
  );
}

function expect(condition, message) {
  if (!condition) throw new Error(message);
}

/** Reads the tensors of a file in safetensors layout. */
function readInput(file) {
  // A copy, whose buffer begins with the file.
  const bytes = new Uint8Array(file);
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const tensor = (name) => {
    const { dtype, shape, data_offsets: offsets } = header[name];
    return { dtype, shape, data: bytes.slice(8 + length + offsets[0], 8 + length + offsets[1]) };
  };
  const timestep = new Float32Array(tensor('timestep').data.buffer);
  return { attention: tensor('attention'), tokenMask: tensor('token_mask').data, timestep };
}
