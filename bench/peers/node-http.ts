/**
 * A simple server for comparison: the probe behind node:http, one inference per request, in the thread of the event loop.
 * It takes the requests of peers/app.py: the attention as float16 [samples, layers, tokens, height, width].
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { availableParallelism } from 'node:os';

import { InferenceSession } from 'onnxruntime-node';

const session = await InferenceSession.create(process.env['PEER_MODEL'] ?? '', {
  executionProviders: ['cpu'],
  intraOpNumThreads: availableParallelism(),
});
const attention = session.inputMetadata.find(({ name }) => name === 'attention');
const [, layers, , height, width] = attention?.isTensor ? attention.shape : [];

async function readBody(request: IncomingMessage): Promise<ArrayBuffer> {
  const body = Buffer.allocUnsafeSlow(Number(request.headers['content-length']));
  let length = 0;
  for await (const chunk of request) length += (chunk as Buffer).copy(body, length);
  return body.buffer;
}

async function score(query: URLSearchParams, body: ArrayBuffer): Promise<number[]> {
  const samples = Number(query.get('samples'));
  const tokens = Number(query.get('tokens'));
  // Plain objects: a float16 Tensor is broken on Node 24 and later (microsoft/onnxruntime#26791).
  const tensor = (type: string, dims: unknown[], data: object) => ({ type, dims, data, location: 'cpu' });
  const feeds = {
    attention: tensor('float16', [samples, layers, tokens, height, width], new Uint16Array(body)),
    token_mask: tensor('uint8', [samples, tokens], new Uint8Array(samples * tokens).fill(1)),
    timestep: tensor('float32', [samples], new Float32Array(samples).fill(Number(query.get('timestep')))),
  };
  const { score: scores } = await session.run(feeds as unknown as InferenceSession.FeedsType, ['score']);
  return Array.from(scores?.data as Float32Array);
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { searchParams } = new URL(request.url ?? '', 'http://peer');
  const text = JSON.stringify({ scores: await score(searchParams, await readBody(request)) });
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': text.length });
  response.end(text);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`running on http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
process.once('SIGTERM', () => process.exit());
