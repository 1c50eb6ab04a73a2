/** The command line of `npm run bench`. */
import { parseArguments } from '../src/terminal/command-line.js';

export const USAGE = `Compares the service on this machine with plain ONNX Runtime, its upper limit, and with simple servers.

Usage: npm run bench [-- options]

  --quick     a smoke run of two minutes; its figures are not results (default: the full run)
  --help      this text

Example: npm run bench -- --quick

It starts all processes itself, on the loopback address, and takes under 9 minutes on two idle cores; the first time it also
installs the Python packages of FastAPI. The tables go to standard output and end with one line of JSON. The
measured service reads its settings from the environment. bench/README.md explains the figures.
`;

export interface BenchOptions {
  readonly isQuick: boolean;
}

/**
 * @returns undefined when the user asks for help.
 * @throws {UsageError}
 */
export function readBenchOptions(argv: readonly string[]): BenchOptions | undefined {
  const { values } = parseArguments({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  return values.help ? undefined : { isQuick: values.quick };
}
