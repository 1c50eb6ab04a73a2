// Owns `npm run traffic`: brings the build up to date, then becomes the sender of the demonstration's traffic.
import { buildIfStale } from './build-if-stale.js';

buildIfStale();
await import('../dist/src/demo/traffic.js');
