/** Owns the command line of `npm run bench`. */
import { parseArgs } from 'node:util';

export const USAGE = `Measures the service on this machine against what limits it and against what one would write instead.

Usage: npm run bench [-- options]

  --quick     a smoke run of about a minute; its figures are no results
  --help      this text

It starts everything itself on the loopback address and takes under 5 minutes on two idle cores, not counting the first
time, when it installs the peer's Python packages. The table goes to standard output and ends with one line of JSON.
Settings of the service in the environment hold for the service that is measured. bench/README.md explains the figures.
`;

export interface BenchArguments {
  readonly isQuick: boolean;
}

/**
 * Reads the command line; undefined means that help was asked for.
 * @throws {TypeError} with the mistake.
 */
export function readArguments(argv: readonly string[]): BenchArguments | undefined {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  return values.help ? undefined : { isQuick: values.quick };
}
