/** The programs that the page shows work as they are: they send the saved request, and get its decisions. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

import { encodeRequest } from '../../../clients/typescript/src/request.js';
import { REQUEST_FILE, requestPrograms } from '../../../demo/page/app/request-code.js';
import { startShippedApp } from '../../support/app.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const run = promisify(execFile);
const CLIENT = pathToFileURL('dist/clients/typescript/src/index.js').href;
/** The members of a probe that are needed to make up a request. */
interface Listed {
  readonly name: string;
  readonly version: number;
  readonly contract: {
    readonly capture: { readonly layers: readonly string[]; readonly height: number; readonly width: number };
    readonly decision_points: readonly { readonly timestep: number }[];
  };
}

const SAMPLES = 3;
const TOKENS = 4;

test('curl and TypeScript send the saved request', async (t) => {
  const { listen } = await startShippedApp(t);
  const origin = await listen();
  const { models } = (await (await fetch(`${origin}/models`)).json()) as { models: Listed[] };
  const { version, contract } = models.find(({ name }) => name === 'pictogram') ?? assert.fail();
  const { layers, height, width } = contract.capture;
  const shape = [SAMPLES, layers.length, TOKENS, height, width];
  const body = encodeRequest(
    {
      attention: { dtype: 'F16', shape, data: new Uint16Array(shape.reduce((left, right) => left * right)) },
      timestep: contract.decision_points[1]?.timestep ?? NaN,
    },
    { model: `pictogram@${version}`, policy: { name: 'top_k', k: 1, explore: { rate: 0 } } },
  );
  const cwd = await temporaryFolder(t);
  await writeFile(path.join(cwd, REQUEST_FILE), body);
  const programs = Object.fromEntries(requestPrograms(origin).map(({ name, code }) => [name, code]));

  const curl = await run('bash', ['-c', programs['curl'] ?? ''], { cwd });
  const { results } = JSON.parse(curl.stdout) as { results: { decision: string }[] };
  assert.deepEqual(
    results.map(({ decision }) => decision),
    ['keep', 'drop', 'drop'],
  );

  const program = programs['TypeScript']?.replace('@diffusion-probe/client', CLIENT) ?? '';
  await writeFile(path.join(cwd, 'program.mjs'), program);
  const { stdout } = await run(process.execPath, ['program.mjs'], { cwd });
  assert.match(stdout, /\[ 'keep', 'drop', 'drop' \]/);
});
