/** Tests how settings are read from flags and the environment, and how --help shows them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { helpText, mistakesText, welcomeText } from '../../src/config/help.js';
import { describeSettings, readSettings, type Settings } from '../../src/config/settings.js';

function mistakes(environment: Record<string, string>, ...args: string[]): readonly string[] {
  const result = readSettings(environment, args);
  return result.ok ? assert.fail('it was accepted') : result.mistakes;
}

function settingsOf(environment: Record<string, string>, ...args: string[]): Settings {
  const result = readSettings(environment, args);
  return result.ok ? result.settings : assert.fail(result.mistakes.join());
}

test('every setting is optional', () => {
  const result = readSettings({});
  assert.ok(result.ok);
  const { settings } = result;
  assert.deepEqual([settings.host, settings.port, settings.device], ['127.0.0.1', 8080, 'auto']);
  assert.equal(settings.receiptLifetimeSeconds, 86_400);
  assert.ok(!('workers' in settings) && !('defaultModel' in settings) && !('policiesFile' in settings));
  assert.ok(Object.isFrozen(settings));
});

test('a variable is read, an empty one counts as unset, an unknown one is ignored', () => {
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

test('all mistakes are reported at once, with the received and the expected value', () => {
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

test('numbers are whole, decimal and within their range', () => {
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

test('every setting is a flag, which wins over the environment', () => {
  for (const args of [
    ['--port', '9001', '--max-queue-samples', '256'],
    ['--port=9001', '--max-queue-samples=256'],
    ['--port', '9000', '--max-queue-samples=256', '--port=9001'],
  ]) {
    const { port, maxQueueSamples, host } = settingsOf({ PORT: '80', HOST: '0.0.0.0' }, ...args);
    assert.deepEqual([port, maxQueueSamples, host], [9001, 256, '0.0.0.0']);
  }
  for (const { name, flag } of describeSettings())
    assert.equal(flag, `--${name.toLowerCase().replaceAll('_', '-')}`);
});

test('an empty flag means the default, in spite of the environment', () => {
  assert.equal(settingsOf({ PORT: '80' }, '--port=').port, 8080);
  assert.ok(!('policiesFile' in settingsOf({ POLICIES_FILE: 'policies.json' }, '--policies-file', '')));
});

test('unknown flags and arguments, missing and bad values of flags are reported together', () => {
  assert.deepEqual(
    mistakes({ WORKERS: '0' }, 'serve', '--port', '80a', '-p', '--prot=80', '--device', '--host'),
    [
      'serve: this argument is unknown',
      '-p: this flag is unknown',
      '--prot: this flag is unknown',
      '--device: the value is missing',
      '--port: got "80a", expected a whole number from 0 to 65535',
      'WORKERS: got "0", expected a whole number from 1',
    ],
  );
  assert.deepEqual(mistakes({}, '--port'), ['--port: the value is missing']);
});

test('limits that contradict each other are refused', () => {
  assert.match(
    mistakes({ MAX_SAMPLES_PER_REQUEST: '1000' })[0] ?? '',
    /at most MAX_QUEUE_SAMPLES, which is 512/,
  );
  assert.match(mistakes({ SHUTDOWN_TIMEOUT_MS: '10' })[0] ?? '', /^INFERENCE_TIMEOUT_MS: got 10000/);
});

test('--help shows every flag with its meaning, default and unit, by groups, and an example', () => {
  const help = helpText(describeSettings());
  const text = help.replaceAll(/\n {3,}/g, ' ');
  for (const { flag, description } of describeSettings()) {
    assert.ok(description.length > 10, flag);
    assert.ok(new RegExp(`^  ${flag} +\\S`, 'm').test(text), flag);
    assert.ok(text.includes(`  ${description}`), flag);
  }
  assert.match(text, /^ {2}--workers +Inference threads; .* one on CUDA$/m);
  assert.match(text, /^ {2}--port +.* \[8080\]$/m);
  assert.match(text, /^ {2}--max-queue-delay-us +.* \[0 µs\]$/m);
  assert.match(text, /^ {2}--max-samples-per-request +.* \[64 samples\]$/m);
  assert.match(text, /\n\nInference:\n {2}--device .*\n {2}--workers /);
  assert.match(text, /\n\nExample: diffusion-probe-server --port 9000 /);
  assert.ok(Math.max(...help.split('\n').map((line) => line.length)) <= 100);
});

test('one mistake is a sentence, several are a list, and both name --help', () => {
  assert.equal(
    mistakesText(['--prot: this flag is unknown']),
    'Cannot start: --prot: this flag is unknown (--help lists all settings)\n',
  );
  assert.match(mistakesText(['a: b', 'c: d']), /--help.*:\n {2}a: b\n {2}c: d\n$/);
});

test('the welcome is three lines: the address, the page and a command that asks this service', () => {
  const example = 'examples/group.safetensors';
  assert.deepEqual(
    welcomeText('http://127.0.0.1:8080', 'http://127.0.0.1:8080/docs', example).trim().split(/\n +/),
    [
      'Address  http://127.0.0.1:8080',
      'Page     http://127.0.0.1:8080/docs',
      `Try      npx diffusion-probe-server score ${example}`,
    ],
  );
  assert.match(
    welcomeText('http://127.0.0.1:9000', 'http://127.0.0.1:9000/docs', example),
    /score \S+ --url http:\/\/127\.0\.0\.1:9000\n$/,
  );
  assert.match(
    welcomeText('http://127.0.0.1:9000', 'http://127.0.0.1:9000/docs', undefined),
    /Try +curl -s http:\/\/127\.0\.0\.1:9000\/models\n$/,
  );
});
