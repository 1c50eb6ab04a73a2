/** Tests that edits of the operator's files are loaded, and that a broken edit is reported and changes nothing. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { policyFor } from '../../src/config/policies.js';
import { openOperatorFiles } from '../../src/config/operator-files.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const INTERVAL_MS = 20;
const PATIENCE_MS = 5000;

const policies = (name: string) => JSON.stringify({ default: { policy: { name } } });
const keysFile = (id: string) =>
  JSON.stringify({ keys: [{ id, secret: Buffer.alloc(32, 1).toString('base64') }] });

async function open(
  t: TestContext,
  files: { policiesFile?: string; feedbackKeysFile?: string; apiKeysFile?: string; host?: string },
  intervalMs = INTERVAL_MS,
) {
  const reports: string[] = [];
  const log = {
    info: (_fields: object, message: string) => reports.push(`info: ${message}`),
    warn: (_fields: object, message: string) => reports.push(`warn: ${message}`),
    error: (_fields: object, message: string) => reports.push(`error: ${message}`),
  };
  const onReload = (file: string, outcome: string) => reports.push(`${file} ${outcome}`);
  const opened = await openOperatorFiles({ ...files, log, onReload, intervalMs });
  t.after(() => opened.close());
  return { opened, reports };
}

async function until(holds: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + PATIENCE_MS;
  while (!holds()) {
    assert.ok(performance.now() < giveUpAt, 'timed out');
    await delay(INTERVAL_MS);
  }
}

test('without files the shipped policies apply, and the random key is logged as a warning', async (t) => {
  const { opened, reports } = await open(t, {});
  assert.deepEqual(policyFor(opened.policies(), 'any'), { name: 'max_false_drop', alpha: 0.05 });
  assert.match(opened.keys().currentId, /^own-/);
  assert.equal(opened.keys(), opened.keys());
  assert.match(reports.join(), /^warn: FEEDBACK_KEYS_FILE is not set/);
  for (const host of ['127.0.0.1', '::1', 'localhost', '0.0.0.0'])
    assert.match(
      (await open(t, { host })).reports.join(),
      host === '0.0.0.0' ? /^warn: FEEDBACK/ : /^info: FEEDBACK/,
      'without other replicas, a random key is no fault',
    );
});

test('an edit of the policies is loaded; a broken one is reported once and changes nothing', async (t) => {
  const file = path.join(await temporaryFolder(t), 'policies.json');
  await writeFile(file, policies('score_only'));
  const { opened, reports } = await open(t, { policiesFile: file, feedbackKeysFile: await someKeys(t) });
  const name = () => policyFor(opened.policies(), 'any').name;
  assert.equal(name(), 'score_only');

  await writeFile(file, '{"default": {"policy": {"name": "top_k"}}}');
  await until(() => opened.policiesRefusal() !== undefined);
  await delay(5 * INTERVAL_MS);
  assert.match(opened.policiesRefusal() ?? '', /^default\.policy\.k: /);
  assert.equal(name(), 'score_only');

  await writeFile(file, '{"default": {"policy": {"name": "top_k", "k": 2}}}');
  await until(() => name() === 'top_k');
  assert.equal(opened.policiesRefusal(), undefined);
  assert.deepEqual(
    reports.filter((line) => line.startsWith('policies')),
    ['policies refused', 'policies loaded'],
  );
});

test('a file that is being written is not loaded', async (t) => {
  const file = path.join(await temporaryFolder(t), 'policies.json');
  await writeFile(file, policies('score_only'));
  const files = { policiesFile: file, feedbackKeysFile: await someKeys(t) };
  // Far longer than between two writes, so that a pause of the machine does not make two reads agree.
  const { opened, reports } = await open(t, files, 30 * INTERVAL_MS);
  const whole = policies('max_false_drop').replace('}', ',"alpha":0.1}');
  for (let length = 1; length < whole.length; length += 1) {
    await writeFile(file, whole.slice(0, length));
    await delay(INTERVAL_MS);
  }
  await writeFile(file, whole);
  await until(() => policyFor(opened.policies(), 'any').name === 'max_false_drop');
  assert.deepEqual(
    reports.filter((line) => line.startsWith('policies')),
    ['policies loaded'],
  );
});

test('a file that disappears and returns unchanged is in force again', async (t) => {
  const file = path.join(await temporaryFolder(t), 'policies.json');
  await writeFile(file, policies('score_only'));
  const { opened } = await open(t, { policiesFile: file, feedbackKeysFile: await someKeys(t) });
  await rename(file, `${file}.away`);
  await until(() => opened.policiesRefusal() !== undefined);
  assert.match(opened.policiesRefusal() ?? '', /^cannot be read: ENOENT/);
  assert.equal(policyFor(opened.policies(), 'any').name, 'score_only');
  await rename(`${file}.away`, file);
  await until(() => opened.policiesRefusal() === undefined);
});

test('receipt keys can be changed while the service runs', async (t) => {
  const file = path.join(await temporaryFolder(t), 'keys.json');
  await writeFile(file, keysFile('old'));
  const { opened } = await open(t, { feedbackKeysFile: file });
  assert.equal(opened.keys().currentId, 'old');
  await writeFile(file, keysFile('new'));
  await until(() => opened.keys().currentId === 'new');
});

test('a file that cannot be used at the start is an error', async (t) => {
  const folder = await temporaryFolder(t);
  const file = path.join(folder, 'policies.json');
  await assert.rejects(
    open(t, { policiesFile: file }),
    /policies\.json cannot be used: there is no such file/,
  );
  await writeFile(file, '{"default": 1}');
  await assert.rejects(open(t, { policiesFile: file }), /policies\.json cannot be used: default: /);
});

async function someKeys(t: TestContext): Promise<string> {
  const file = path.join(await temporaryFolder(t), 'keys.json');
  await writeFile(file, keysFile('k'));
  return file;
}

test('a file of API keys makes keys necessary, and an edit changes them', async (t) => {
  assert.equal((await open(t, {})).opened.apiKeys(), undefined);
  const file = path.join(await temporaryFolder(t), 'api-keys.json');
  const withKey = (key: string) =>
    JSON.stringify({ keys: [{ id: 'a', sha256: createHash('sha256').update(key).digest('hex') }] });
  await writeFile(file, withKey('old'));
  const { opened } = await open(t, { apiKeysFile: file });
  assert.deepEqual([opened.apiKeys()?.ownerOf('old'), opened.apiKeys()?.ownerOf('new')], ['a', undefined]);
  await writeFile(file, withKey('new'));
  await until(() => opened.apiKeys()?.ownerOf('new') === 'a');
  assert.equal(opened.apiKeys()?.ownerOf('old'), undefined);
});
