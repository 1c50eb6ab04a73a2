/** Lines of the log as a person reads them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createLog } from '../../src/telemetry/log.js';
import { readableLines } from '../../src/telemetry/readable-log.js';

function readable(write: (log: ReturnType<typeof createLog>) => void): string {
  let text = '';
  const line = readableLines(false);
  write(createLog('info', { write: (json) => (text += `${line(json)}\n`) }));
  return text.replaceAll(/^\[\d\d:\d\d:\d\d\] /gm, '');
}

test('a line names its probe and the reason, and shows the other fields behind', () => {
  const probe = { name: 'tiny', version: 3 };
  assert.equal(
    readable((log) => {
      log.info({ ...probe, provider: 'cpu', sha256: 'abc', measurements: [1] }, 'a probe was loaded');
      log.error({ ...probe, reason: 'no {model}' }, 'a probe was refused');
      log.info('stopped');
    }),
    'INFO: a probe was loaded: tiny@3 {"provider":"cpu"}\nERROR: a probe was refused: tiny@3: no {model}\nINFO: stopped\n',
  );
});

test('an error is followed by where it was thrown', () => {
  assert.match(
    readable((log) => log.error({ err: new TypeError('secret') }, 'failed')),
    /^ERROR: failed ?\n.*"type": "TypeError".* at /s,
  );
});
