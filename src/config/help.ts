/** The texts for a person at a terminal: the answer to --help, and what to try once the service listens. */
import type { SettingDescription } from './settings.js';

const COLUMN_GAP = 2;
const HEADINGS = ['SETTING', 'FLAG', 'DEFAULT', 'UNIT', 'MEANING'];

/** The answer to --help: the table of settings, by groups. */
export function helpText(settings: readonly SettingDescription[]): string {
  const rows = settings.map(({ name, flag, default: preset, unit, description }) => {
    return [name, flag, preset, unit, description];
  });
  const [headings = '', ...lines] = columns([HEADINGS, ...rows]);
  const table = lines.map((line, index) => {
    const group = settings[index]?.group;
    return group === settings[index - 1]?.group ? line : `\n${group}\n${line}`;
  });
  return `Diffusion Probe scores samples mid-denoise and decides which are worth finishing.

Usage: diffusion-probe-server [--flag value ...] [--help]
       npm start [-- --flag value ...]

Every setting is a flag and an environment variable: --port 9000, --port=9000 and PORT=9000 mean the same.
A flag wins over its variable, and the variable over the default. An empty value means the default.

${headings}
${table.join('\n')}
`;
}

/** What to try next, once the service listens. */
export function welcomeText(
  url: string,
  models: readonly { name: string; version: number; provider: string }[],
): string {
  const probes = models.map(({ name, version, provider }) => `${name}@${version} on ${provider}`);
  return `
  Diffusion Probe listens on ${url}
  Probes: ${probes.join(', ') || 'none yet; see /models'}

  Try next, in another terminal:
    a decision  curl -s ${url}/score -H 'content-type: application/octet-stream' --data-binary @examples/kept.safetensors
    images      npm run generate -- "a cat left of two keys on a blue background" --seeds 8 --keep 2
    the API     ${url}/docs

`;
}

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd((widths[column] ?? 0) + COLUMN_GAP))
      .join('')
      .trimEnd(),
  );
}
