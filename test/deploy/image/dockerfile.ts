/** Owns what a Dockerfile says, as far as this repository's own files say anything: stages, and instructions in order. */

export interface Instruction {
  readonly name: string;
  /** All after the name, lines joined, build arguments not yet filled in. */
  readonly text: string;
}

export interface Stage {
  /** Of `AS`; the stage's number when it has none. */
  readonly name: string;
  /** An image or an earlier stage; build arguments not yet filled in. */
  readonly from: string;
  readonly instructions: readonly Instruction[];
}

export interface Dockerfile {
  /** `ARG` before the first stage. */
  readonly args: Readonly<Record<string, string>>;
  readonly stages: readonly Stage[];
}

/** @throws {Error} for an instruction that stands where it cannot. */
export function parseDockerfile(text: string): Dockerfile {
  const args: Record<string, string> = {};
  const stages: { name: string; from: string; instructions: Instruction[] }[] = [];
  for (const { name, text: rest } of instructionsOf(text)) {
    if (name === 'FROM') {
      const [, from = '', own] = /^(\S+)(?:\s+AS\s+(\S+))?$/i.exec(rest) ?? [];
      stages.push({ name: own ?? String(stages.length), from, instructions: [] });
      continue;
    }
    const stage = stages.at(-1);
    if (stage) stage.instructions.push({ name, text: rest });
    else if (name === 'ARG') Object.assign(args, pairsOf(rest));
    else throw new Error(`${name} stands before the first FROM`);
  }
  return { args, stages };
}

/** Comments between the lines of one instruction are left out, as Docker does it. */
function instructionsOf(text: string): Instruction[] {
  const lines = text.split('\n').filter((line) => !/^\s*#/.test(line));
  const joined = lines.join('\n').replaceAll(/\\\n/g, ' ');
  return joined
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
    .map((line) => {
      const [name = ''] = line.split(/\s/, 1);
      return { name: name.toUpperCase(), text: line.slice(name.length).trim() };
    });
}

/** `NAME=value` pairs, of ARG, ENV and LABEL; quotes are taken off. */
export function pairsOf(text: string): Record<string, string> {
  const pairs = [...text.matchAll(/([\w.]+)=("(?:[^"\\]|\\.)*"|\S*)/g)];
  return Object.fromEntries(
    pairs.map(([, name = '', value = '']) => [name, value.startsWith('"') ? value.slice(1, -1) : value]),
  );
}

/** The list that the exec form is; undefined for the shell form. */
export function execForm(text: string): string[] | undefined {
  return text.startsWith('[') ? (JSON.parse(text) as string[]) : undefined;
}

/** `$NAME` and `${NAME}` filled in where it is known. */
export function filledIn(text: string, values: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\{(\w+)\}|\$(\w+)/g, (found, braced?: string, bare?: string) => {
    return values[braced ?? bare ?? ''] ?? found;
  });
}
