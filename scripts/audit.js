// Owns `npm run audit`: no dependency of the service may have a known vulnerability that is high or critical.
// A registry that keeps no advisories is told as such: that is no vulnerability, but no check either.
import { spawnSync } from 'node:child_process';

const REFUSED = ['high', 'critical'];

const { stdout } = spawnSync('npm', ['audit', '--omit=dev', '--json'], { encoding: 'utf8' });
const report = readReport(stdout);
if (report === undefined) {
  process.stdout.write('NOT CHECKED for known vulnerabilities: the registry does not answer npm audit.\n');
} else {
  const counts = Object.entries(report).map(([severity, count]) => `${count} ${severity}`);
  process.stdout.write(`Known vulnerabilities: ${counts.join(', ')}\n`);
  if (REFUSED.some((severity) => report[severity] > 0)) process.exitCode = 1;
}

function readReport(text) {
  try {
    return JSON.parse(text).metadata?.vulnerabilities;
  } catch {
    return undefined;
  }
}
