/** `npm run test:cuda`: everything about CUDA that can be checked on this machine, as one line of JSON at the end. */
import { runCommand } from '../../demo/command.js';
import { parseArguments } from '../../src/terminal/command-line.js';
import { checkDevice, type Results } from './checks.js';
import { compileStandIn, findLibraries } from './libraries.js';
import { fallbackOf, refusalOf } from './service.js';

const USAGE = `Checks the CUDA path: scores against the CPU's, changing shapes, latency and throughput at batches of 1 to 64, memory on
the device, out of memory, fallback, and a swap under load. Without a GPU it checks that the libraries resolve and that the
service says what is missing.

Usage: npm run test:cuda [-- options]

  --dry-run   runs the checks of the device on the CPU, to test the checks themselves
  --help      this text

Example: npm run test:cuda -- --dry-run

It needs Linux on x64 and Python 3.11 or later. It installs missing CUDA libraries from PyPI into out/cuda.
`;
/** The rounding of half precision differs between the devices. */
const MAX_DIFFERENCE = 0.01;

interface Options {
  readonly isDryRun: boolean;
}

async function check({ isDryRun }: Options, onProgress: (line: string) => void): Promise<Results> {
  const libraries = findLibraries(onProgress);
  try {
    const { searchPath } = libraries;
    const environment = { ...process.env, ...(searchPath !== '' && { LD_LIBRARY_PATH: searchPath }) };
    onProgress('starting the service with DEVICE=cuda');
    const says = await refusalOf('cuda', environment);
    if (says === undefined || isDryRun) {
      const device = isDryRun ? 'cpu' : 'cuda';
      const results = await checkDevice({ device, environment, libraries, onProgress });
      return { libraries_resolve: true, device, ...results, is_passed: isPassed(results, device) };
    }
    const standIn = compileStandIn();
    const withStandIn = { ...environment, LD_LIBRARY_PATH: `${searchPath}:${standIn}` };
    return {
      libraries_resolve: true,
      device: null,
      service_says: says,
      fallback_says: await fallbackOf(environment),
      stand_in_driver_says: standIn === undefined ? null : ((await refusalOf('cuda', withStandIn)) ?? null),
    };
  } finally {
    libraries.remove();
  }
}

function isPassed(results: Results, device: string): boolean {
  const answers = Object.keys(results['swap_answers'] as object);
  return (
    Number(results['score_difference_max']) <= MAX_DIFFERENCE &&
    results['swap_failed'] === 0 &&
    results['swap_version'] === 3 &&
    answers.every((answer) => answer.startsWith(device)) &&
    results['out_of_memory_recovered'] !== false
  );
}

await runCommand({
  name: 'npm run test:cuda',
  usage: USAGE,
  readOptions: (argv): Options | undefined => {
    const options = {
      'dry-run': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h' },
    } as const;
    const { values } = parseArguments({ args: [...argv], options });
    return values.help ? undefined : { isDryRun: values['dry-run'] };
  },
  execute: async (options, { progress }) => {
    const results = await check(options, (line) => progress.show(line));
    if (results['is_passed'] === false) process.exitCode = 1;
    return `${JSON.stringify(results)}\n`;
  },
});
