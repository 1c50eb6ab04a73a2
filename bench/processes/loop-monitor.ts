/**
 * Loaded into the measured service by `--import`. Answers each message from the parent with the longest time that the event
 * loop was held since the message before, ms.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

const RESOLUTION_MS = 1;
const NS_PER_MS = 1e6;

// The option is passed on to worker threads and child processes of the service, which have other event loops.
if (isMainThread && process.argv[1]?.endsWith('src/main.js')) {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  process.on('message', () => {
    // Each recorded value contains the interval of the timer.
    process.send?.(Math.max(0, delays.max / NS_PER_MS - RESOLUTION_MS));
    delays.reset();
  });
  // The channel must not keep the service alive.
  process.channel?.unref();
}
