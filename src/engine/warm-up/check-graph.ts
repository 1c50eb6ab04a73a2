/** Owns the comparison of an ONNX graph with what the manifest says of it. Pure. */
import type { Manifest } from '../../probe/manifest.js';
import type { GraphValue } from '../worker/protocol.js';

const ORT_TYPES = { F16: 'float16', F32: 'float32', U8: 'uint8', I64: 'int64' };

type Declared = Manifest['inputs'][number] | Manifest['output'];

/** What differs between graph and manifest, a sentence each; empty when they agree. */
export function graphMismatches(
  manifest: Manifest,
  inputs: readonly GraphValue[],
  outputs: readonly GraphValue[],
): string[] {
  const undeclared = inputs
    .filter((value) => !manifest.inputs.some((input) => input.name === value.name))
    .map((value) => `the graph needs an input "${value.name}" that probe.json does not declare`);
  return [
    ...manifest.inputs.flatMap((input) => mismatches('input', input, inputs)),
    ...mismatches('output', manifest.output, outputs),
    ...undeclared,
  ];
}

function mismatches(role: 'input' | 'output', declared: Declared, values: readonly GraphValue[]): string[] {
  const value = values.find((candidate) => candidate.name === declared.name);
  if (!value) return [`the graph has no ${role} "${declared.name}"`];
  const wrong: string[] = [];
  if (value.type !== ORT_TYPES[declared.dtype]) {
    wrong.push(`the graph's ${role} "${value.name}" is ${value.type}, not ${ORT_TYPES[declared.dtype]}`);
  }
  if (!axesAgree(declared.shape, value.shape)) {
    const [is, should] = [value.shape.join(', '), declared.shape.join(', ')];
    wrong.push(`the graph's ${role} "${value.name}" has the shape [${is}], not [${should}]`);
  }
  return wrong;
}

/** A number must be the same number; what the manifest leaves open must be open in the graph, whatever its name there. */
function axesAgree(declared: readonly (number | string)[], inGraph: readonly (number | string)[]): boolean {
  return (
    declared.length === inGraph.length &&
    declared.every((axis, index) =>
      typeof axis === 'number' ? inGraph[index] === axis : typeof inGraph[index] === 'string',
    )
  );
}
