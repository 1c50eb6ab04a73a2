/** Owns what a process has used, as Linux tells it under /proc. Elsewhere nothing is known, which is NaN. */
import { readFileSync } from 'node:fs';

/** Fixed for user space on Linux, whatever the kernel's own tick is: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
const TICKS_PER_SECOND = 100;
/** In /proc/PID/stat, counted from the field behind the command's name. */
const UTIME = 11;
const STIME = 12;
const BYTES_PER_KIB = 1024;

/** CPU time of a process with all its threads and living descendants, s. */
export function cpuSeconds(pid: number): number {
  return [pid, ...descendants(pid)].reduce((sum, each) => sum + ownCpuSeconds(each), 0);
}

/** Resident memory of one process, bytes. */
export function residentBytes(pid: number): number {
  const [, kibibytes = NaN] = /^VmRSS:\s+(\d+) kB$/m.exec(readProc(`${pid}/status`)) ?? [];
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
