/** A minimal protobuf encoder for ONNX test models, so that the repository needs no binary models for tests. */

const VARINT = 0;
const BYTES = 2;

/** One encoded field, or several in a row. */
export type Field = Uint8Array;

/** A non-negative integer. */
export function integer(field: number, value: number): Field {
  return Uint8Array.from([...varint((field << 3) | VARINT), ...varint(value)]);
}

export function bytes(field: number, value: Uint8Array): Field {
  return concatenate([Uint8Array.from([...varint((field << 3) | BYTES), ...varint(value.length)]), value]);
}

export function text(field: number, value: string): Field {
  return bytes(field, new TextEncoder().encode(value));
}

export function message(field: number, ...fields: readonly Field[]): Field {
  return bytes(field, concatenate(fields));
}

export function concatenate(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let end = 0;
  for (const piece of pieces) {
    whole.set(piece, end);
    end += piece.length;
  }
  return whole;
}

function varint(value: number): number[] {
  const digits: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    digits.push((rest & 0x7f) | 0x80);
    rest = Math.floor(rest / 128);
  }
  return [...digits, rest];
}
