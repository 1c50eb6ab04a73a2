/** A service that is started for a command ends with it, even when the command is killed. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { writeProbe } from '../support/probe-folder.js';
import { temporaryFolder } from '../support/temporary-folder.js';

/** The port of the discard protocol, where nothing listens. */
const NOWHERE = 'http://127.0.0.1:9';

test('a killed command leaves no service behind', async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const script = `
    import { findOrStartService } from '${new URL('../../demo/find-service.js', import.meta.url).href}';
    const { url } = await findOrStartService('${NOWHERE}', process.env, () => {});
    process.stdout.write(url);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    env: { PATH: process.env['PATH'], DEVICE: 'cpu', WORKERS: '1', MODELS_DIR: models },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [url] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
  const isAlive = (): Promise<boolean> =>
    fetch(new URL('/livez', url)).then(
      ({ ok }) => ok,
      () => false,
    );
  assert.ok(await isAlive());
  child.kill('SIGKILL');
  const giveUpAt = performance.now() + 10_000;
  while (await isAlive()) {
    assert.ok(performance.now() < giveUpAt, 'the service goes on');
    await delay(50);
  }
});
