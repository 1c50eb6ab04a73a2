/** Owns the process that sends the demonstration's traffic: `npm run traffic -- --url http://127.0.0.1:8080` */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { findProbe, type Probe } from './probe.js';
import { sendTraffic } from './traffic-loop.js';

const RETRY_MS = 2000;

// ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its library loads.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

const { values } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:8080' },
    reference: { type: 'string', default: 'reference' },
    step: { type: 'string', default: '5' },
  },
});
const interruption = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interruption.abort());

// Only now, when the environment is set.
const { World } = await import('./world/world.js');
const world = await World.load(values.reference);
try {
  await sendTraffic({
    world,
    probe: await whenThere(values.url),
    step: Number(values.step),
    signal: interruption.signal,
    onGroup: (caption, finished, reported) => tell(`${caption}: ${finished} finished, ${reported} reported`),
  });
} catch (error) {
  if (!interruption.signal.aborted) throw error;
} finally {
  await world.close();
}

/** Beside a service that is started at the same time, this one may be up first. */
async function whenThere(url: string): Promise<Probe> {
  for (;;) {
    try {
      return await findProbe(url, undefined);
    } catch (error) {
      tell(error instanceof Error ? error.message : String(error));
      await delay(RETRY_MS, undefined, { signal: interruption.signal });
    }
  }
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}
