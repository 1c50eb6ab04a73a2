// Owns `npm start`: brings the build up to date, then becomes the service.
// One process throughout, so that signals reach the service itself.
import { buildIfStale } from './build-if-stale.js';

buildIfStale();
await import('../dist/src/main.js');
