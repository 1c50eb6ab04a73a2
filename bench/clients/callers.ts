/** Ways to have a sample scored: plain `fetch` with a body that is made once, and both entry points of the client. */
import { ProbeClient as FetchClient, type ScoreInput } from '../../clients/typescript/src/index.js';
import { ProbeClient as NodeClient } from '../../clients/typescript/src/node.js';
import { decodeSafetensors } from '../../src/wire/safetensors.js';

const DEADLINE_MS = 60_000;

export interface Caller {
  readonly name: string;
  /** @throws {Error} when the sample was not scored. */
  readonly call: () => Promise<void>;
  readonly close: () => Promise<void>;
}

/**
 * The first caller is the one that the others are compared with.
 * @param url of the service.
 * @param file a request body in safetensors layout.
 */
export function startCallers(url: string, file: Uint8Array): Caller[] {
  const { input, model } = readInput(file);
  const clients = { 'the client': new FetchClient(url), 'the client, /node': new NodeClient(url) };
  const byClient = Object.entries(clients).map(([name, client]): Caller => ({
    name,
    call: async () => expectScored(await client.score(input, { model, deadlineMs: DEADLINE_MS })),
    close: () => client.close(),
  }));
  return [rawCaller(url, Uint8Array.from(file)), ...byClient];
}

function rawCaller(url: string, body: Uint8Array<ArrayBuffer>): Caller {
  const headers = { 'content-type': 'application/octet-stream', 'x-deadline-ms': String(DEADLINE_MS) };
  return {
    name: 'raw fetch',
    call: async () => {
      const response = await fetch(`${url}/score`, { method: 'POST', headers, body });
      expectScored((await response.json()) as { outcome: string });
    },
    close: async () => {},
  };
}

function readInput(file: Uint8Array): { input: ScoreInput; model: string } {
  const { tensors, bytes, metadata } = decodeSafetensors(Uint8Array.from(file).buffer);
  const tensorOf = (name: string) => {
    const found = tensors.get(name);
    if (!found) throw new Error(`the file has no tensor ${name}`);
    const { dtype, shape, byteOffset, byteLength } = found;
    return { dtype, shape, data: new Uint8Array(bytes, byteOffset, byteLength) };
  };
  const timestep = new Float32Array(Uint8Array.from(tensorOf('timestep').data).buffer);
  const input = { attention: tensorOf('attention'), tokenMask: tensorOf('token_mask').data, timestep };
  return { input, model: metadata.get('model') ?? '' };
}

function expectScored({ outcome }: { outcome: string }): void {
  if (outcome !== 'scored') throw new Error(`the service answered ${outcome}`);
}
