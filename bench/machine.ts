/** The machine: its clock and description, and what processes use of it (from /proc, so on Linux only; NaN elsewhere). */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, availableParallelism, cpus, loadavg, platform } from 'node:os';

const NS_PER_MS = 1e6;
/** With more busy cores than this before the start, other processes distort the figures. */
const QUIET_LOAD = 0.5;
/** Fixed for user space on Linux: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
const TICKS_PER_SECOND = 100;
/** Fields of /proc/PID/stat, counted from the one after the command's name. */
const UTIME = 11;
const STIME = 12;
const BYTES_PER_KIB = 1024;

/** The machine's monotonic clock, ms. Threads and processes share it, unlike performance.now(). */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / NS_PER_MS;
}

export function machineText(): string {
  const [cpu] = cpus();
  return `${availableParallelism()} cores of ${cpu?.model.trim() ?? 'an unknown CPU'}, ${platform()} ${arch()}, Node ${process.version}, onnxruntime-node ${runtimeVersion()}`;
}

/** A warning when other processes are busy. */
export function noiseWarning(): string | undefined {
  const [load = 0] = loadavg();
  if (load <= QUIET_LOAD) return undefined;
  return `Other processes are at work (load average ${load.toFixed(1)}): the figures below are not results.`;
}

function runtimeVersion(): string {
  const manifest = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}

/** CPU time of a process, its threads and its living descendants, s. */
export function cpuSeconds(pid: number): number {
  return [pid, ...descendants(pid)].reduce((sum, each) => sum + ownCpuSeconds(each), 0);
}

/** Resident memory of one process, bytes. */
export function residentBytes(pid: number): number {
  return memoryBytes(pid, 'status', 'VmRSS');
}

/** Memory of a process and its living descendants, bytes; of what several processes share, each one's part. */
export function proportionalBytes(pid: number): number {
  const shares = descendants(pid).map((each) => memoryBytes(each, 'smaps_rollup', 'Pss') || 0);
  return shares.reduce((sum, share) => sum + share, memoryBytes(pid, 'smaps_rollup', 'Pss'));
}

function memoryBytes(pid: number, file: string, field: string): number {
  const [, kibibytes = NaN] =
    new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readProc(`${pid}/${file}`)) ?? [];
  return Number(kibibytes) * BYTES_PER_KIB;
}

function ownCpuSeconds(pid: number): number {
  const stat = readProc(`${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[UTIME]) + Number(fields[STIME])) / TICKS_PER_SECOND;
}

function descendants(pid: number): number[] {
  const children = readProc(`${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);
  return children.flatMap((child) => [child, ...descendants(child)]);
}

function readProc(file: string): string {
  try {
    return readFileSync(`/proc/${file}`, 'utf8');
  } catch {
    return '';
  }
}
