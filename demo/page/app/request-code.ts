/** A request of the page as programs. The file has everything that was sent: tensors, probe, policy and sample ids. */

/** The name under which the request's body can be saved. */
export const REQUEST_FILE = 'group.safetensors';

export interface Program {
  readonly name: string;
  readonly code: string;
}

/** @param service its address, without a slash at its end. */
export function requestPrograms(service: string): Program[] {
  return [
    {
      name: 'curl',
      code: `curl --silent --show-error --max-time 2 \\
  --header 'content-type: application/octet-stream' --header 'x-deadline-ms: 1000' \\
  --data-binary @${REQUEST_FILE} ${service}/score`,
    },
    {
      name: 'Python',
      code: `import json

from diffusion_probe.client import ProbeClient
from safetensors import safe_open

with safe_open("${REQUEST_FILE}", "numpy") as file:
    tensors = {name: file.get_tensor(name) for name in file.keys()}
    metadata = file.metadata()
attention, timestep, token_mask = (tensors.pop(name) for name in ("attention", "timestep", "token_mask"))
policy = json.loads(metadata["policy"])
with ProbeClient("${service}") as client:
    outcome = client.score(attention, timestep, token_mask=token_mask, signals=tensors, policy=policy, model=metadata["model"])
print(outcome.decisions)`,
    },
    {
      name: 'TypeScript',
      code: `import { readFile } from 'node:fs/promises';
import { ProbeClient } from '@diffusion-probe/client';

const file = await readFile('${REQUEST_FILE}');
const headerBytes = Number(file.readBigUInt64LE());
const { __metadata__: metadata, ...entries } = JSON.parse(file.subarray(8, 8 + headerBytes).toString());
const tensors = Object.fromEntries(
  Object.entries(entries).map(([name, { dtype, shape, data_offsets: [from, to] }]) => [
    name,
    { dtype, shape, data: file.subarray(8 + headerBytes + from, 8 + headerBytes + to) },
  ]),
);
const { attention, timestep, token_mask: mask, ...signals } = tensors;
const client = new ProbeClient('${service}', { deadlineMs: 1000 });
const { decisions } = await client.score(
  { attention, timestep: timestep.data.readFloatLE(), tokenMask: new Uint8Array(mask.data), signals },
  { model: metadata.model, policy: JSON.parse(metadata.policy) },
);
console.log(decisions);`,
    },
  ];
}
