/** Measures everything, in order. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { machineText, noiseWarning } from './machine.js';
import { type BenchContext, byProtocol, measureClosed, measureLoad } from './measure.js';
import { checkAgreement } from './phases/agreement.js';
import { measureLoopHolds } from './phases/event-loop.js';
import { measureFairness } from './phases/fairness.js';
import { measureOpenLoops } from './phases/open-loops.js';
import { measureMemory, measureStarts } from './phases/memory.js';
import { surveyRaw } from './phases/raw.js';
import { bestPeer, measureRounds } from './phases/rounds.js';
import { ROOT } from './processes/server.js';
import type { Results } from './report/report.js';
import { cutSamples } from './samples.js';
import { startAll, type StartOptions, startMeasuredService } from './start.js';

const EXAMPLE = path.join(ROOT, 'examples', 'group.safetensors');
const WARM_UP_CONNECTIONS = 16;

export async function benchmark(options: StartOptions): Promise<Results> {
  const machine = [machineText(), noiseWarning()].filter((line) => line !== undefined);
  const samples = cutSamples(readFileSync(EXAMPLE));
  const model = samples[0]?.metadata['model'] ?? '';
  const { context, notes } = await startAll(options, EXAMPLE, model);
  await checkAgreement(context, samples);
  await warmUp(context);

  const survey = await surveyRaw(context);
  const rounds = await measureRounds(context, survey);
  const peer = bestPeer(context, rounds);
  const openSingles = await measureOpenLoops(context, 'single', survey.shortest, peer);
  const openGroups = await measureOpenLoops(context, 'group', survey.shortest, peer);
  const memory = await measureMemory(context, await startMeasuredService(options));
  for (const server of [context.service, ...context.peers]) await server.server.stop();
  const starts = await measureStarts(context);
  const loopHolds = await measureLoopHolds(context, samples);
  const fairness = await measureFairness(context);
  return {
    notes: [...machine, ...notes],
    survey,
    rounds,
    openSingles,
    openGroups,
    memory,
    starts,
    loopHolds,
    fairness,
    isMemoryFull: context.plan.isMemoryFull,
  };
}

/** Runs until V8 has compiled the hot code and memory has grown to its size. */
async function warmUp(context: BenchContext): Promise<void> {
  const { service, peers, plan } = context;
  context.onProgress('warming up');
  const until = { requests: plan.warmUpRequests };
  const loop = { kind: 'closed', load: 'one_token', connections: WARM_UP_CONNECTIONS, until } as const;
  for (const server of [service, byProtocol(service)]) await measureLoad(context, server, loop, 'warm-up');
  await measureClosed(context, service, 'group', WARM_UP_CONNECTIONS, plan.turnSeconds);
  for (const server of [service, ...peers])
    await measureClosed(context, server, 'single', WARM_UP_CONNECTIONS, plan.turnSeconds);
}
