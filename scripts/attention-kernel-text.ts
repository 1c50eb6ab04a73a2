/** Owns how src/engine/worker/attention-kernel.wat becomes a module that the worker can load without any tool. */
import { readFileSync } from 'node:fs';

import wabt from 'wabt';

const SOURCE = new URL('../../src/engine/worker/attention-kernel.wat', import.meta.url);

/** The text of src/engine/worker/attention-kernel.ts. */
export async function attentionKernelText(): Promise<string> {
  const tools = await wabt();
  const kernel = tools.parseWat('attention-kernel.wat', readFileSync(SOURCE, 'utf8'), { simd: true });
  const code = Buffer.from(kernel.toBinary({}).buffer).toString('base64');
  kernel.destroy();
  const lines = code.match(/.{1,100}/g) ?? [];
  return [
    '/** Owns attention-kernel.wat in WebAssembly’s binary form, as base64. Made by `npm run kernel`. */',
    'export const ATTENTION_KERNEL = [',
    ...lines.map((line) => `  '${line}',`),
    "].join('');",
    '',
  ].join('\n');
}
