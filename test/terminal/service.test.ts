/** What the service shows on a terminal: readable lines, progress, then what to try. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { test, type TestContext } from 'node:test';

import { writeProbe } from '../support/probe-folder.js';
import { runOnTerminal } from '../support/process.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const CTRL_C = '\u0003';
/** Colours, and the code that clears a line. */
// oxlint-disable-next-line no-control-regex
const CODES = /\u001B\[[\d;]*[mK]/g;
const options = { skip: existsSync('/usr/bin/script') ? false : 'script(1) is missing' };

/** Runs the service until it ends, and presses Ctrl-C once it shows a text. */
async function shownUntil(t: TestContext, settings: Record<string, string>, awaited: string) {
  const child = runOnTerminal(t, settings);
  let shown = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    if (!shown.includes(awaited) && `${shown}${chunk}`.includes(awaited)) child.stdin?.write(CTRL_C);
    shown += chunk;
  });
  const [code] = (await once(child, 'close')) as [number];
  return { code, shown, text: shown.replaceAll(CODES, '').replaceAll('\r\n', '\n') };
}

test(
  'a start shows progress, no warning, and three lines: address, page, what to try',
  options,
  async (t) => {
    const models = await temporaryFolder(t);
    await writeProbe(models);
    const settings = { MODELS_DIR: models, DEVICE: 'auto' };
    const { code, text } = await shownUntil(t, settings, 'Try ');
    assert.equal(code, 0, 'Ctrl-C is the normal end');
    assert.match(text, /loading probes ░+ 0 of 1/);
    assert.match(text, /^\[\d\d:\d\d:\d\d\] INFO: a probe was loaded: tiny@1 /m);
    const [, url = '', page, asked] =
      /\n {2}Address {2}(\S+)\n {2}Page {5}(\S+)\n {2}Try {6}.* --url (\S+)\n/.exec(text) ?? [];
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d{4,5}$/);
    assert.deepEqual([page, asked], [`${url}/docs`, url]);
    assert.match(text, /draining.*stopped\n$/s);
    assert.doesNotMatch(text, /WARN|ERROR|FATAL|"level"/);
  },
);

test('without colours it shows none', options, async (t) => {
  const models = await temporaryFolder(t);
  await writeProbe(models);
  const { shown } = await shownUntil(t, { MODELS_DIR: models, NO_COLOR: '1' }, 'Try ');
  assert.ok(!shown.includes('\u001B[3'));
});

test('a service that is not ready says why, as a warning', options, async (t) => {
  const { code, text } = await shownUntil(t, { MODELS_DIR: await temporaryFolder(t) }, 'Try ');
  assert.equal(code, 0);
  assert.match(text, /WARN: listening: no probe was found /);
});

test('a missing folder is one sentence that says what to do', options, async (t) => {
  const { code, text } = await shownUntil(t, { MODELS_DIR: '/nowhere' }, 'never');
  assert.equal(code, 1);
  assert.match(
    text,
    /FATAL: cannot start: the model repository \/nowhere cannot be read: there is no such folder; choose another with --models-dir\n$/,
  );
});
