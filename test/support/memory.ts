/** Measures the memory that is in use after garbage collection. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Heap and buffers, bytes. */
export function memoryInUse(): number {
  collect();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** The memory of the process outside the heap, mostly the sessions of ONNX Runtime, bytes. */
export function memoryBesideHeap(): number {
  collect();
  const { rss, heapTotal } = process.memoryUsage();
  return rss - heapTotal;
}
