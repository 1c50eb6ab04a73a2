/** Owns the course of the benchmark: what is measured in which order. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { type BenchContext, measureClosed, measureLoad } from './bench-context.js';
import { machineText, noiseWarning } from './machine.js';
import { checkAgreement } from './phases/agreement.js';
import { runClosed } from './phases/closed.js';
import { watchMemory } from './phases/memory.js';
import { runOpen } from './phases/open.js';
import { surveyRaw } from './phases/raw.js';
import { runRounds } from './phases/rounds.js';
import { ROOT } from './processes/service.js';
import type { Results } from './report/report.js';
import { cutSamples } from './samples.js';
import { startAll, type StartOptions, startRival } from './start.js';

const EXAMPLE = path.join(ROOT, 'examples', 'group.safetensors');
const WARM_UP_CONNECTIONS = 16;

/** Measures everything. What it starts is stopped by the options' `cleanup`. */
export async function benchmark(options: StartOptions): Promise<Results> {
  const machine = [machineText(), noiseWarning()].filter((line) => line !== undefined);
  const samples = cutSamples(readFileSync(EXAMPLE));
  const model = samples[0]?.metadata['model'] ?? '';
  const { context, notes } = await startAll(options, EXAMPLE, model);
  await checkAgreement(context, samples);
  await warmUp(context);

  const survey = await surveyRaw(context);
  const rounds = await runRounds(context, survey);
  const closed = [...(await runClosed(context, 'single')), ...(await runClosed(context, 'group'))];
  const openSingles = await runOpen(context, 'single', survey.promptest);
  const openGroups = await runOpen(context, 'group', survey.promptest);
  const memory = await watchMemory(context, await startRival(options));
  return {
    notes: [...machine, ...notes],
    survey,
    rounds,
    closed,
    openSingles,
    openGroups,
    memory,
    isMemoryFull: context.plan.isMemoryFull,
  };
}

/** Until everything that will be measured has been compiled, and has grown to its size. */
async function warmUp(context: BenchContext): Promise<void> {
  const { service, peers, plan } = context;
  context.tell('warming up');
  const until = { requests: plan.warmUpRequests };
  const order = { kind: 'closed', load: 'one_token', connections: WARM_UP_CONNECTIONS, until } as const;
  await measureLoad(context, service, order, 'warm-up');
  await measureClosed(context, service, 'group', WARM_UP_CONNECTIONS, plan.turnSeconds);
  for (const rival of [service, ...peers])
    await measureClosed(context, rival, 'single', WARM_UP_CONNECTIONS, plan.turnSeconds);
}
