/**
 * Owns how far V8's heap may grow before all of it is searched for garbage.
 *
 * Node's HTTP parser puts each piece of a body into memory of its own, and V8 counts such memory as heap growth. With a
 * live heap of 20 MB, it would search all of it every 17 MB of bodies: at full load six times a second, a tenth of all CPU
 * time and pauses of 10 ms. What is large here is young and is gone with the next quick search for young garbage.
 */
import { setFlagsFromString } from 'node:v8';

/** V8's own measure lies between 10 and 300 and is small where garbage collection seems to keep up. */
const GROWTH_PERCENT = 300;

/** To be called before there is load; it holds for all threads. */
export function letHeapGrow(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
}
