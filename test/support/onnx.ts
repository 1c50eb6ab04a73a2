/**
 * Tiny ONNX probes for tests, with a score that a test can compute itself:
 * score = mean of the attention over unmasked tokens + timestep / 1000 + sum of each extra signal / 1000.
 * The extra signal `row_ids` is replaced by the rows of a table of zeros; a run with an id that the table lacks fails.
 */
import type { ManifestInput } from '../../src/probe/manifest.js';
import { type Field, bytes, concatenate, integer, message, text } from './protobuf.js';

const IR_VERSION = 8;
const OPSET = 17;
const ELEMENT_TYPE = { F32: 1, U8: 2, I64: 7, BOOL: 9, F16: 10 };
const ATTRIBUTE = { INT: 2, TENSOR: 4, GRAPH: 5, INTS: 7 };
const WORK_WIDTH = 1024;
const TABLE_ROWS = 100;
const ROW_IDS = 'row_ids';

/** A timestep for which the graph's sums overflow, so that the score is NaN. */
export const NAN_TIMESTEP = 3e38;

export interface TinyModel {
  /** The graph's inputs; attention, token_mask and timestep must be among them. */
  readonly inputs: readonly ManifestInput[];
  /** Extra matrix products that make a run slower, each by about half a millisecond; 0 by default. */
  readonly work?: number;
  /** Added to every score; 0 by default. */
  readonly bias?: number;
  /** The file that holds the bias; it is inside the graph by default. */
  readonly biasFile?: string;
  /** Makes runs with a large timestep take long or hang. */
  readonly hang?: Hang;
}

/** A loop of `turns`, about two microseconds each, in runs with a timestep above `above`. */
export interface Hang {
  readonly above: number;
  readonly turns: number;
}

/** The inputs of every probe, for maps of the given size. */
export function tinyInputs(
  layers: number,
  height: number,
  width: number,
  attentionDtype: 'F16' | 'F32' = 'F16',
): ManifestInput[] {
  return [
    { name: 'attention', dtype: attentionDtype, shape: ['batch', layers, 'tokens', height, width] },
    { name: 'token_mask', dtype: 'U8', shape: ['batch', 'tokens'] },
    { name: 'timestep', dtype: 'F32', shape: ['batch'] },
  ];
}

/** The bytes of an ONNX file with these inputs and one output, score F32 [batch]. */
export function tinyOnnx({ inputs, work = 0, bias = 0, biasFile, hang }: TinyModel): Uint8Array<ArrayBuffer> {
  const attention = inputs.find((input) => input.name === 'attention');
  if (!attention) throw new Error('a tiny model needs attention');
  const [, layers, , height, width] = attention.shape.map(Number);
  const area = (layers ?? NaN) * (height ?? NaN) * (width ?? NaN);
  const extras = inputs.filter((input) => !['attention', 'token_mask', 'timestep'].includes(input.name));
  const nodes = [
    cast('attention', 'maps'),
    cast('token_mask', 'mask'),
    node('Unsqueeze', ['mask', 'map_axes'], 'map_mask'),
    node('Mul', ['maps', 'map_mask'], 'masked'),
    node('ReduceSum', ['masked', 'all_axes'], 'total', attributeInteger('keepdims', 0)),
    node('ReduceSum', ['mask', 'last_axis'], 'tokens_kept', attributeInteger('keepdims', 0)),
    node('Mul', ['tokens_kept', 'area'], 'values_kept'),
    node('Div', ['total', 'values_kept'], 'mean'),
    node('Mul', ['timestep', 'thousandth'], 'time'),
    node('Add', ['mean', 'time'], 'sum_0'),
    ...extras.flatMap((extra, index) => extraNodes(extra, index)),
    ...workNodes(work),
    node('Add', [`sum_${extras.length}`, 'no_change'], 'before_loop'),
    ...(hang ? hangNodes(hang) : [node('Identity', ['before_loop'], 'done')]),
    node('Add', ['done', 'bias'], 'score'),
  ];
  const graph = [
    ...nodes,
    text(2, 'tiny'),
    constantInt64('map_axes', [1, 3, 4]),
    constantInt64('all_axes', [1, 2, 3, 4]),
    constantInt64('last_axis', [1]),
    constantFloat('area', area),
    constantFloat('thousandth', 0.001),
    biasFile === undefined ? constantFloat('bias', bias) : externalFloat('bias', biasFile),
    constantFloat('zero', 0),
    ...(extras.some(({ name }) => name === ROW_IDS) ? [zeros('table', TABLE_ROWS)] : []),
    ...inputs.map((input) => message(11, ...valueInfo(input))),
    message(12, ...valueInfo({ name: 'score', dtype: 'F32', shape: ['batch'] })),
  ];
  return concatenate([
    integer(1, IR_VERSION),
    message(7, ...graph),
    message(8, text(1, ''), integer(2, OPSET)),
  ]);
}

function extraNodes({ name, shape }: ManifestInput, index: number): Field[] {
  const axes = shape.slice(1).map((_, axis) => axis + 1);
  const sum =
    axes.length === 0
      ? [node('Identity', [`${name}_float`], `${name}_sum`)]
      : [
          node('Constant', [], `${name}_axes`, attributeTensor('value', tensorInt64(axes))),
          node(
            'ReduceSum',
            [`${name}_float`, `${name}_axes`],
            `${name}_sum`,
            attributeInteger('keepdims', 0),
          ),
        ];
  return [
    name === ROW_IDS ? node('Gather', ['table', name], `${name}_float`) : cast(name, `${name}_float`),
    ...sum,
    node('Mul', [`${name}_sum`, 'thousandth'], `${name}_scaled`),
    node('Add', [`sum_${index}`, `${name}_scaled`], `sum_${index + 1}`),
  ];
}

/** A chain of products with an averaging matrix, multiplied by zero at the end, so that the score does not change. */
function workNodes(work: number): Field[] {
  const products = Array.from({ length: work }, (_, index) =>
    node('MatMul', [`work_${index}`, 'averaging'], `work_${index + 1}`),
  );
  return [
    node('Constant', [], 'square', attributeTensor('value', tensorInt64([WORK_WIDTH, WORK_WIDTH]))),
    node('Constant', [], 'row', attributeTensor('value', tensorInt64([1, WORK_WIDTH]))),
    node('ConstantOfShape', ['square'], 'averaging', attributeTensor('value', tensorFloat(1 / WORK_WIDTH))),
    node('ConstantOfShape', ['row'], 'ones', attributeTensor('value', tensorFloat(1))),
    node('Unsqueeze', ['timestep', 'last_axis'], 'column'),
    node('Mul', ['column', 'ones'], 'work_0'),
    ...products,
    node(
      'ReduceMean',
      [`work_${work}`],
      'work_mean',
      attributeIntegers('axes', [1]),
      attributeInteger('keepdims', 0),
    ),
    node('Mul', ['work_mean', 'zero'], 'no_change'),
  ];
}

/** A loop around the score so far, with no turn or with many. */
function hangNodes({ above, turns }: Hang): Field[] {
  const scalar = (name: string, type: number): Field =>
    concatenate([text(1, name), message(2, message(1, integer(1, type), message(2)))]);
  const body = [
    node('Identity', ['go_on'], 'go_on_again'),
    node('Identity', ['carried'], 'carried_on'),
    text(2, 'turn'),
    bytes(11, scalar('turn_number', ELEMENT_TYPE.I64)),
    bytes(11, scalar('go_on', ELEMENT_TYPE.BOOL)),
    message(11, ...valueInfo({ name: 'carried', dtype: 'F32', shape: ['batch'] })),
    bytes(12, scalar('go_on_again', ELEMENT_TYPE.BOOL)),
    message(12, ...valueInfo({ name: 'carried_on', dtype: 'F32', shape: ['batch'] })),
  ];
  const many = new Uint8Array(BigInt64Array.of(BigInt(turns)).buffer);
  return [
    node(
      'Constant',
      [],
      'above',
      attributeTensor('value', concatenate([integer(2, ELEMENT_TYPE.F32), rawFloat(above)])),
    ),
    node(
      'Constant',
      [],
      'many',
      attributeTensor('value', concatenate([integer(2, ELEMENT_TYPE.I64), bytes(9, many)])),
    ),
    node('ReduceMax', ['timestep'], 'latest', attributeInteger('keepdims', 0)),
    node('Greater', ['latest', 'above'], 'hangs'),
    node('Cast', ['hangs'], 'hangs_number', attributeInteger('to', ELEMENT_TYPE.I64)),
    node('Mul', ['hangs_number', 'many'], 'turns'),
    node('Loop', ['turns', '', 'before_loop'], 'done', attributeGraph('body', body)),
  ];
}

function node(
  operator: string,
  inputs: readonly string[],
  output: string,
  ...attributes: readonly Field[]
): Field {
  return message(
    1,
    ...inputs.map((input) => text(1, input)),
    text(2, output),
    text(4, operator),
    ...attributes,
  );
}

function cast(input: string, output: string): Field {
  return node('Cast', [input], output, attributeInteger('to', ELEMENT_TYPE.F32));
}

function attributeInteger(name: string, value: number): Field {
  return message(5, text(1, name), integer(3, value), integer(20, ATTRIBUTE.INT));
}

function attributeIntegers(name: string, values: readonly number[]): Field {
  return message(5, text(1, name), ...values.map((value) => integer(8, value)), integer(20, ATTRIBUTE.INTS));
}

function attributeGraph(name: string, graph: readonly Field[]): Field {
  return message(5, text(1, name), message(6, ...graph), integer(20, ATTRIBUTE.GRAPH));
}

function attributeTensor(name: string, tensor: Uint8Array): Field {
  return message(5, text(1, name), bytes(5, tensor), integer(20, ATTRIBUTE.TENSOR));
}

function constantInt64(name: string, values: readonly number[]): Field {
  return message(5, tensorInt64(values), text(8, name));
}

function constantFloat(name: string, value: number): Field {
  return message(5, integer(2, ELEMENT_TYPE.F32), text(8, name), rawFloat(value));
}

/** A number that lies at the beginning of another file. */
function externalFloat(name: string, file: string): Field {
  const pair = (key: string, value: string): Field => message(13, text(1, key), text(2, value));
  return message(
    5,
    integer(2, ELEMENT_TYPE.F32),
    text(8, name),
    pair('location', file),
    pair('length', String(Float32Array.BYTES_PER_ELEMENT)),
    integer(14, 1),
  );
}

function zeros(name: string, length: number): Field {
  const raw = new Uint8Array(length * Float32Array.BYTES_PER_ELEMENT);
  return message(5, integer(1, length), integer(2, ELEMENT_TYPE.F32), text(8, name), bytes(9, raw));
}

function tensorInt64(values: readonly number[]): Field {
  const raw = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return concatenate([integer(1, values.length), integer(2, ELEMENT_TYPE.I64), bytes(9, raw)]);
}

/** A tensor of one element, as ConstantOfShape takes its value. */
function tensorFloat(value: number): Field {
  return concatenate([integer(1, 1), integer(2, ELEMENT_TYPE.F32), rawFloat(value)]);
}

function rawFloat(value: number): Field {
  return bytes(9, new Uint8Array(new Float32Array([value]).buffer));
}

function valueInfo({ name, dtype, shape }: ManifestInput): Field[] {
  const axes = shape.map((axis) => message(1, typeof axis === 'number' ? integer(1, axis) : text(2, axis)));
  return [text(1, name), message(2, message(1, integer(1, ELEMENT_TYPE[dtype]), message(2, ...axes)))];
}
