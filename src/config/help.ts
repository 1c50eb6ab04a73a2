/** The texts for a person at a terminal: the answer to --help, mistakes in the settings, and what to try once the service listens. */
import { tableLines, wrappedLines } from '../terminal/table.js';
import type { SettingDescription } from './settings.js';

const HELP_WIDTH = 100;
const INDENT = '  ';
const DEFAULT_PORT = '8080';

/** The answer to --help: the settings by groups. */
export function helpText(settings: readonly SettingDescription[]): string {
  const flagWidth = Math.max(...settings.map(({ flag }) => flag.length));
  const blocks = settings.flatMap((setting, index) => {
    const heading = setting.group === settings[index - 1]?.group ? [] : ['', `${setting.group}:`];
    return [...heading, ...settingLines(setting, flagWidth)];
  });
  return `Diffusion Probe scores samples mid-denoise and decides which are worth finishing.

Usage: diffusion-probe-server [--flag value ...]
       diffusion-probe-server score FILE     asks a service about the request in a file
       npm start [-- --flag value ...]       the same from a checkout

Every setting is a flag and an environment variable: --max-body-bytes 9000, --max-body-bytes=9000
and MAX_BODY_BYTES=9000 mean the same. A flag wins over its variable, and the variable over the
default, which is in brackets. An empty value means the default.
${blocks.join('\n')}

Example: diffusion-probe-server --port 9000 --models-dir models --log-level warn
`;
}

function settingLines(
  { flag, description, default: preset, unit }: SettingDescription,
  width: number,
): string[] {
  const value = preset === 'unset' ? '' : ` [${[preset, unit].filter(Boolean).join(' ')}]`;
  const given = preset === 'unset' && unit !== '' ? ` [${unit}]` : '';
  const left = INDENT.length + width + INDENT.length;
  const lines = wrappedLines(`${description}${value}${given}`, HELP_WIDTH - left);
  return lines.map((line, index) => `${INDENT}${(index === 0 ? flag : '').padEnd(width)}${INDENT}${line}`);
}

/** What is wrong with the settings: one mistake is a sentence, several are a list. */
export function mistakesText(mistakes: readonly string[]): string {
  const [first = '', ...others] = mistakes;
  if (others.length === 0) return `Cannot start: ${first} (--help lists all settings)\n`;
  return `Cannot start: the settings have mistakes (--help lists all settings):\n  ${mistakes.join('\n  ')}\n`;
}

/**
 * What to try next, once the service listens.
 * @param page its address.
 * @param example the file of a request; undefined where there is none.
 */
export function welcomeText(url: string, page: string, example: string | undefined): string {
  const option = new URL(url).port === DEFAULT_PORT ? '' : ` --url ${url}`;
  const command =
    example === undefined ? `curl -s ${url}/models` : `npx diffusion-probe-server score ${example}${option}`;
  const lines = tableLines([
    ['Address', url],
    ['Page', page],
    ['Try', command],
  ]);
  return `\n${lines.map((line) => `${INDENT}${line}`).join('\n')}\n`;
}
