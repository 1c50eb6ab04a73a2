/**
 * `npm run audit`: fails when a dependency of the service has a known vulnerability of high or critical severity. Where the
 * registry has no advisories, it says that nothing was checked.
 */
import { spawnSync } from 'node:child_process';

type Counts = Readonly<Record<string, number>>;

const { stdout } = spawnSync('npm', ['audit', '--omit=dev', '--json'], { encoding: 'utf8' });
const counts = readCounts(stdout);
if (counts === undefined) {
  process.stdout.write('NOT CHECKED for known vulnerabilities: the registry does not answer npm audit.\n');
} else {
  const texts = Object.entries(counts).map(([severity, count]) => `${count} ${severity}`);
  process.stdout.write(`Known vulnerabilities: ${texts.join(', ')}\n`);
  if (['high', 'critical'].some((severity) => (counts[severity] ?? 0) > 0)) process.exitCode = 1;
}

function readCounts(text: string): Counts | undefined {
  try {
    return (JSON.parse(text) as { metadata?: { vulnerabilities?: Counts } }).metadata?.vulnerabilities;
  } catch {
    return undefined;
  }
}
