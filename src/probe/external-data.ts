/**
 * Finds the tensors of an ONNX file whose values lie in other files. ONNX Runtime would read those from the service's working
 * folder, where nothing is hashed. Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;
const FIXED_BYTES: Readonly<Record<number, number>> = { [FIXED64]: 8, [FIXED32]: 4 };

const EXTERNAL_DATA = 13;
const DATA_LOCATION = 14;
const LOCATION_EXTERNAL = 1;

/** The fields of each message that can hold a tensor, by number, with their message. */
const CHILDREN = {
  model: { 7: 'graph', 20: 'training', 25: 'function' },
  training: { 1: 'graph', 2: 'graph' },
  function: { 7: 'node', 11: 'attribute' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  tensor: {},
} as const satisfies Record<string, Record<number, string>>;

type Kind = keyof typeof CHILDREN;

interface Message {
  readonly kind: Kind;
  readonly bytes: Uint8Array;
}

interface Field {
  readonly number: number;
  /** The number of a varint, else 0. */
  readonly value: number;
  /** The content of a field of bytes, else empty. */
  readonly bytes: Uint8Array;
}

const NO_BYTES = new Uint8Array();

/**
 * The files that the tensors of an ONNX file refer to, each once; the name is empty when a tensor gives none.
 * @throws {RangeError} when the bytes are not a protobuf message.
 */
export function externalFiles(model: Uint8Array): string[] {
  const files = new Set<string>();
  // A list instead of recursion, because the file decides how deep messages are nested.
  const waiting: Message[] = [{ kind: 'model', bytes: model }];
  for (let message = waiting.pop(); message; message = waiting.pop()) {
    const { kind } = message;
    const fields = [...fieldsOf(message.bytes)];
    if (kind === 'tensor' && fields.some(isExternal)) files.add(locationOf(fields));
    const children: Readonly<Record<number, Kind>> = CHILDREN[kind];
    for (const { number, bytes } of fields) {
      const child = children[number];
      if (child) waiting.push({ kind: child, bytes });
    }
  }
  return [...files];
}

function isExternal({ number, value }: Field): boolean {
  return number === EXTERNAL_DATA || (number === DATA_LOCATION && value === LOCATION_EXTERNAL);
}

/** The value of the entry "location" among the key-value pairs of a tensor. */
function locationOf(fields: readonly Field[]): string {
  const textOf = (pair: readonly Field[], wanted: number): string =>
    Buffer.from(pair.findLast(({ number }) => number === wanted)?.bytes ?? NO_BYTES).toString();
  const pairs = fields
    .filter(({ number }) => number === EXTERNAL_DATA)
    .map(({ bytes }) => [...fieldsOf(bytes)]);
  const location = pairs.findLast((pair) => textOf(pair, 1) === 'location');
  return location ? textOf(location, 2) : '';
}

/** Reads the fields of a message; an unknown wire type is refused, since the rest could not be read either. */
function* fieldsOf(message: Uint8Array): Generator<Field> {
  let position = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = message[position];
      if (byte === undefined) break;
      position += 1;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError('a number of the protobuf message does not end');
  };
  while (position < message.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (wireType === VARINT) {
      yield { number, value: varint(), bytes: NO_BYTES };
      continue;
    }
    const length = wireType === BYTES ? varint() : FIXED_BYTES[wireType];
    if (length === undefined || length > message.length - position)
      throw new RangeError('a field of the protobuf message is not valid');
    const bytes = wireType === BYTES ? message.subarray(position, position + length) : NO_BYTES;
    position += length;
    yield { number, value: 0, bytes };
  }
}
