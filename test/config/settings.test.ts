/** Owns the proof that settings are read right and refused all at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { helpText, welcomeText } from '../../src/config/help.js';
import { describeSettings, readSettings } from '../../src/config/settings.js';

function mistakes(environment: Record<string, string>): readonly string[] {
  const result = readSettings(environment);
  return result.ok ? assert.fail('it was accepted') : result.mistakes;
}

test('nothing has to be set', () => {
  const result = readSettings({});
  assert.ok(result.ok);
  const { settings } = result;
  assert.deepEqual([settings.host, settings.port, settings.device], ['127.0.0.1', 8080, 'auto']);
  assert.equal(settings.receiptLifetimeSeconds, 86_400);
  assert.ok(!('workers' in settings) && !('defaultModel' in settings) && !('policiesFile' in settings));
  assert.ok(Object.isFrozen(settings));
});

test('what is set is taken, what is empty counts as unset, what is unknown is left alone', () => {
  const result = readSettings({
    PORT: ' 0 ',
    HOST: '',
    DEVICE: 'cuda:1',
    WORKERS: '2',
    POLICIES_FILE: 'policies.json',
    PATH: '/bin',
  });
  assert.ok(result.ok);
  const { settings } = result;
  assert.deepEqual(
    [settings.port, settings.host, settings.device, settings.workers],
    [0, '127.0.0.1', 'cuda:1', 2],
  );
  assert.equal(settings.policiesFile, 'policies.json');
  assert.ok(!('path' in settings));
});

test('all mistakes are told at once, with what came and what was expected', () => {
  assert.deepEqual(
    mistakes({
      PORT: '80a',
      WORKERS: '0',
      DEVICE: 'gpu',
      LOG_LEVEL: 'loud',
    }),
    [
      'PORT: got "80a", expected a whole number from 0 to 65535',
      'DEVICE: got "gpu", expected auto, cpu, cuda or cuda:<number>',
      'WORKERS: got "0", expected a whole number from 1',
      'LOG_LEVEL: got "loud", expected one of fatal, error, warn, info, debug, trace, silent',
    ],
  );
});

test('numbers are whole, plain and within their range', () => {
  for (const value of ['-1', '1.5', '1e3', '0x10', '65536', '99999999999999999999']) {
    assert.deepEqual(mistakes({ PORT: value }), [
      `PORT: got "${value}", expected a whole number from 0 to 65535`,
    ]);
  }
});

test('LISTEN takes a path from the root', () => {
  const result = readSettings({ LISTEN: 'unix:/run/probe.sock' });
  assert.equal(result.ok && result.settings.listen, '/run/probe.sock');
  for (const value of ['/run/probe.sock', 'unix:', 'unix:/', 'unix:probe.sock', 'tcp:80'])
    assert.match(
      mistakes({ LISTEN: value })[0] ?? '',
      /^LISTEN: got .* expected unix: and a path from the root/,
    );
});

test('limits that contradict each other are refused', () => {
  assert.match(
    mistakes({ MAX_SAMPLES_PER_REQUEST: '1000' })[0] ?? '',
    /at most MAX_QUEUE_SAMPLES, which is 512/,
  );
  assert.match(mistakes({ SHUTDOWN_TIMEOUT_MS: '10' })[0] ?? '', /^INFERENCE_TIMEOUT_MS: got 10000/);
});

test('--help shows every setting with its default and meaning', () => {
  const help = helpText(describeSettings());
  for (const { name, description } of describeSettings()) {
    assert.ok(description.length > 10, name);
    assert.match(help, new RegExp(`^${name} .*${description.slice(0, 20).replaceAll(/[^\w ]/g, '.')}`, 'm'));
  }
  assert.match(help, /^WORKERS +unset /m);
  assert.match(help, /^PORT +8080 /m);
});

test('the welcome shows the address and the probes', () => {
  const text = welcomeText('http://127.0.0.1:8080', [{ name: 'tiny', version: 3, provider: 'cpu' }]);
  assert.match(text, /http:\/\/127\.0\.0\.1:8080\/docs/);
  assert.match(text, /tiny@3 on cpu/);
  assert.match(text, /curl .*\/score/);
});
