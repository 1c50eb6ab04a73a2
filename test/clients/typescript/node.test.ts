/** What only the entry point for Node has: Unix domain sockets, a limit of connections, and certificates. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { ProbeClient, type ProbeClientOptions } from '../../../clients/typescript/src/node.js';
import { httpServer } from '../../support/http-servers.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const answer: RequestListener = (_request, response) => {
  response.end('{"models": []}');
};

/** How GET /models fails; undefined when it does not. */
async function failureOf(origin: string, options: ProbeClientOptions = {}): Promise<string | undefined> {
  let message: string | undefined;
  const onProblem: ProbeClientOptions['onProblem'] = ({ reason, error }) => {
    message = `${reason}: ${error?.message}`;
  };
  const client = new ProbeClient(origin, { deadlineMs: 10_000, onProblem, ...options });
  await client.models();
  await client.close();
  return message;
}

test('a Unix domain socket, in both spellings', async (t) => {
  const socket = path.join(await temporaryFolder(t), 'probe.sock');
  const server = createHttpServer(answer).listen(socket);
  t.after(() => server.close());
  await once(server, 'listening');
  for (const origin of [`unix:${socket}`, `unix://${socket}`])
    assert.equal(await failureOf(origin), undefined);
  assert.match((await failureOf(`unix:${socket}-none`)) ?? '', /^network: .*ENOENT/);
});

test('there are no more connections than allowed, and calls wait for one', async (t) => {
  const ports = new Set<number | undefined>();
  const origin = await httpServer(t, (request, response) => {
    ports.add(request.socket.remotePort);
    void delay(20).then(() => response.end('{"models": []}'));
  });
  const client = new ProbeClient(origin, { connections: 2, deadlineMs: 30_000 });
  t.after(() => client.close());
  const answers = await Promise.all(Array.from({ length: 10 }, () => client.models()));
  assert.ok(answers.every((models) => models !== undefined));
  assert.equal(ports.size, 2);
});

test('close waits for running calls', async (t) => {
  const origin = await httpServer(t, (_request, response) => {
    void delay(200).then(() => response.end('{"models": []}'));
  });
  const client = new ProbeClient(origin, { deadlineMs: 30_000 });
  const running = client.models();
  await client.close();
  assert.deepEqual(await running, []);
});

test('certificate authorities and certificates of clients', async (t) => {
  const folder = await temporaryFolder(t);
  const make = spawnSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
      .concat(['-keyout', 'key.pem', '-out', 'cert.pem', '-days', '2', '-subj', '/CN=localhost'])
      .concat(['-addext', 'subjectAltName=IP:127.0.0.1']),
    { cwd: folder, encoding: 'utf8' },
  );
  if (make.error) return t.skip('there is no openssl');
  assert.equal(make.status, 0, make.stderr);
  const [key, cert] = await Promise.all(
    ['key.pem', 'cert.pem'].map((file) => readFile(path.join(folder, file), 'utf8')),
  );
  assert.ok(key !== undefined && cert !== undefined);
  const server = createHttpsServer({ key, cert, ca: cert, requestCert: true }, answer);
  server.listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  assert.match((await failureOf(origin, { retries: 0 })) ?? '', /^network: .*self.signed/);
  assert.match((await failureOf(origin, { tls: { ca: cert }, retries: 0 })) ?? '', /^network/);
  assert.equal(await failureOf(origin, { tls: { ca: cert, cert, key } }), undefined);
});
