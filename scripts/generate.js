// Owns `npm run generate`: brings the build up to date, then becomes the demo.
import { buildIfStale } from './build-if-stale.js';

buildIfStale();
await import('../dist/src/demo/generate.js');
