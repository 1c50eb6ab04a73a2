/** The load generator's connection, over real sockets: whole and split answers, and broken connections. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { type Answer, Connection } from '../../../bench/load/connection.js';
import { socketServer } from '../../support/http-servers.js';

const REQUEST = {
  head: 'POST /score HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n',
  body: Buffer.from('hi'),
};
const MARK = '"scored"';

function answerText(status: string, body: string, headers = ''): string {
  return `HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}`;
}

function ask(connection: Connection): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    connection.send(REQUEST, resolve);
  });
}

test('an answer is read however it is split, and the connection is used again', async (t) => {
  let connections = 0;
  const url = await socketServer(t, (socket) => {
    connections += 1;
    socket.setNoDelay(true);
    socket.on('data', () => {
      const text = answerText('200 OK', '{"outcome":"scored"}');
      void (async () => {
        for (const character of text) {
          socket.write(character);
          await nextTurn();
        }
      })();
    });
  });
  const connection = new Connection(url, MARK);
  await connection.open();
  t.after(() => connection.close());
  for (let turn = 0; turn < 3; turn += 1)
    assert.deepEqual(await ask(connection), { status: 200, isScored: true });
  assert.equal(connections, 1);
});

test('an answer without scores is recognised, and a large body is read whole', async (t) => {
  const answers = [
    answerText('503 Unavailable', 'x'.repeat(200_000)),
    answerText('200 OK', '{"outcome":"failed_open"}'),
  ];
  const url = await socketServer(t, (socket) => {
    socket.on('data', () => socket.write(answers.shift() ?? ''));
  });
  const connection = new Connection(url, MARK);
  t.after(() => connection.close());
  assert.deepEqual(await ask(connection), { status: 503, isScored: false });
  assert.deepEqual(await ask(connection), { status: 200, isScored: false });
});

test('a closed connection is opened again, after an answer and after a lost one', async (t) => {
  let connections = 0;
  const url = await socketServer(t, (socket) => {
    connections += 1;
    const turn = connections;
    socket.on('data', () => {
      if (turn === 1) socket.end(answerText('200 OK', '{"outcome":"scored"}', 'Connection: close\r\n'));
      else if (turn === 2) socket.destroy();
      else socket.write(answerText('200 OK', '{"outcome":"scored"}'));
    });
  });
  const connection = new Connection(url, MARK);
  t.after(() => connection.close());
  assert.deepEqual(await ask(connection), { status: 200, isScored: true });
  assert.equal(await ask(connection), undefined);
  assert.deepEqual(await ask(connection), { status: 200, isScored: true });
  assert.equal(connections, 3);
});

test('the inference time of Server-Timing is read, and connections come from the chosen address', async (t) => {
  const addresses: (string | undefined)[] = [];
  const timing = 'Server-Timing: receive;dur=0.1, inference;dur=1.25, total;dur=2\r\n';
  const url = await socketServer(t, (socket) => {
    addresses.push(socket.remoteAddress);
    socket.on('data', () => socket.write(answerText('200 OK', '{"outcome":"scored"}', timing)));
  });
  const connection = new Connection(url, MARK, '127.0.0.1');
  t.after(() => connection.close());
  assert.deepEqual(await ask(connection), { status: 200, isScored: true, inferenceMs: 1.25 });
  assert.deepEqual(addresses, ['127.0.0.1']);
});
