/** Owns `npm run kernel`: writes src/engine/worker/attention-kernel.ts. */
import { writeFileSync } from 'node:fs';

import { attentionKernelText } from './attention-kernel-text.js';

writeFileSync(
  new URL('../../src/engine/worker/attention-kernel.ts', import.meta.url),
  await attentionKernelText(),
);
