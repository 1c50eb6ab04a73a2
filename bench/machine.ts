/** Owns what is said about the machine and the versions, without which figures mean nothing. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, availableParallelism, cpus, loadavg, platform } from 'node:os';

/** Above this many busy cores before anything has started, others take part in the figures. */
const QUIET_LOAD = 0.5;

export function machineText(): string {
  const [cpu] = cpus();
  return `${availableParallelism()} cores of ${cpu?.model.trim() ?? 'an unknown CPU'}, ${platform()} ${arch()}, Node ${process.version}, onnxruntime-node ${runtimeVersion()}`;
}

/** A warning when others use the machine. */
export function noiseWarning(): string | undefined {
  const [load = 0] = loadavg();
  if (load <= QUIET_LOAD) return undefined;
  return `Other processes are at work (load average ${load.toFixed(1)}): the figures below are not results.`;
}

function runtimeVersion(): string {
  const manifest = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}
