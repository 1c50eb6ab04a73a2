/** Owns what a person at a terminal reads: the table of settings and the welcome. */
import type { SettingDescription } from './settings.js';

const COLUMN_GAP = 2;

/** The answer to --help. */
export function helpText(settings: readonly SettingDescription[]): string {
  const rows = settings.map((setting) => [setting.name, setting.default, setting.description] as const);
  const table = columns([['SETTING', 'DEFAULT', 'MEANING'], ...rows]);
  return `Diffusion Probe: scores samples mid-denoise and decides which are worth finishing.

Usage: npm start [-- --help]

All settings come from the environment, for example PORT=9000 DEVICE=cpu npm start.

${table}
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

function columns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd((widths[column] ?? 0) + COLUMN_GAP))
      .join('')
      .trimEnd();
  return rows.map(line).join('\n');
}
