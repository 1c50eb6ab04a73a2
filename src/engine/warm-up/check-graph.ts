/** Compares an ONNX graph with the inputs and the output that its manifest declares. */
import type { Manifest } from '../../probe/manifest.js';
import { type GraphValue, ORT_TYPES } from '../worker/protocol.js';

type Declared = Manifest['inputs'][number] | Manifest['output'];

/** One sentence per difference between graph and manifest; empty when they agree. */
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

/** A fixed axis must have the same size in both; a symbolic one must be symbolic in the graph, under any name. */
function axesAgree(declared: readonly (number | string)[], inGraph: readonly (number | string)[]): boolean {
  return (
    declared.length === inGraph.length &&
    declared.every((axis, index) =>
      typeof axis === 'number' ? inGraph[index] === axis : typeof inGraph[index] === 'string',
    )
  );
}
