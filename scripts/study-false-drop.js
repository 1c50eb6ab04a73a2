// Owns `npm run study:false-drop`: brings the build up to date, then becomes the study.
import { buildIfStale } from './build-if-stale.js';

buildIfStale();
await import('../dist/src/study/run.js');
