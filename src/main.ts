#!/usr/bin/env node
/** The program: the service, or with the word `score` as the first argument a command that asks a service. */
import { runScore } from './commands/score.js';

const [command, ...args] = process.argv.slice(2);
if (command === 'score') await runScore(args);
else await import('./service.js');
