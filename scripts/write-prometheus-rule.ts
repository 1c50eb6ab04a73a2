/** Owns `npm run prometheus-rule`: writes docker/kubernetes/base/prometheus-rule.yml. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { prometheusRule } from './prometheus-rule.js';

await writeFile(path.join('docker', 'kubernetes', 'base', 'prometheus-rule.yml'), prometheusRule());
