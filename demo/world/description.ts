/** The contents of reference.json, which describes the exported reference world. */
import * as z from 'zod';

export const DESCRIPTION_FILE = 'reference.json';

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
 * @param file its name, for the error.
 * @throws {Error} when the text is not valid.
 */
export function parseDescription(text: string, file: string): Description {
  const parsed = descriptionSchema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new Error(`${file} is not valid: ${z.prettifyError(parsed.error)}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
