/** Reads reference.json, which describes the exported reference world, and verifies the files that it names. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import * as z from 'zod';

const DESCRIPTION_FILE = 'reference.json';

const descriptionSchema = z.object({
  vocabulary: z.array(z.string()).min(1),
  pad_id: z.int(),
  begin_id: z.int(),
  max_tokens: z.int(),
  image: z.tuple([z.int(), z.int(), z.int()]),
  steps: z.int(),
  shift: z.number(),
  guidance: z.number(),
  good_at: z.number(),
  capture: z.looseObject({ layers: z.array(z.string()), height: z.int(), width: z.int() }),
  capture_id: z.string(),
  files: z.record(z.string(), z.string()),
});

/** The contents of reference.json, with its own names. */
export type Description = z.infer<typeof descriptionSchema>;

/**
 * @throws {Error} when the file is missing or is not valid.
 */
export async function readDescription(folder: string): Promise<Description> {
  const file = path.join(folder, DESCRIPTION_FILE);
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Error(`the reference world is missing: ${file} cannot be read`, { cause });
  });
  const parsed = descriptionSchema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new Error(`${file} is not valid: ${z.prettifyError(parsed.error)}`);
}

/**
 * Reads one of the files that the description names.
 * @throws {Error} when it is missing or has another hash.
 */
export async function readVerified(
  folder: string,
  name: string,
  { files }: Description,
): Promise<Uint8Array> {
  const content = await readFile(path.join(folder, name));
  const actual = createHash('sha256').update(content).digest('hex');
  if (actual === files[name]) return content;
  throw new Error(
    `${name} in ${folder} has the SHA-256 ${actual}, but ${DESCRIPTION_FILE} says ${files[name]}`,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
