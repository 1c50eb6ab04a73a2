/** What a terminal shows, as a picture: the text that a program wrote, with its colours. */
import xterm from '@xterm/headless';

import { createPaper, MARGIN } from './style.js';

type Terminal = InstanceType<typeof xterm.Terminal>;
type Cell = NonNullable<
  ReturnType<NonNullable<ReturnType<Terminal['buffer']['active']['getLine']>>['getCell']>
>;

const SIZE = 24;
/** JetBrains Mono is this wide, as a share of its size. */
const ADVANCE = 0.6 * SIZE;
const LINE = 36;
const PAPER = '#101922';
const INK = '#e8eef3';
const FAMILY = `${SIZE}px "JetBrains Mono"`;
/** The sixteen colours of a terminal: black, red, green, yellow, blue, magenta, cyan, white, then the bright ones. */
const PALETTE = (
  '#3b4a57 #ff7a6b #3ecf8e #ffd479 #7ab8ff #d7a5ff #62d6e8 #e8eef3 ' +
  '#8797a5 #ff9a80 #6fe3b1 #ffe3a3 #a6cfff #e5c6ff #96e6f2 #ffffff'
).split(' ');

/**
 * A PNG file.
 * @param output with its control sequences.
 * @param columns of the terminal that it was written to.
 */
export async function drawTerminal(output: string, columns: number): Promise<Buffer> {
  const lines = await linesOf(output, columns);
  const { canvas, context } = createPaper(
    2 * MARGIN + Math.ceil(columns * ADVANCE),
    2 * MARGIN + lines.length * LINE,
    PAPER,
  );
  for (const [row, cells] of lines.entries())
    for (const [column, cell] of cells.entries()) {
      context.font = `${cell.isBold() ? 700 : 400} ${FAMILY}`;
      context.fillStyle = cell.isFgPalette() ? (PALETTE[cell.getFgColor()] ?? INK) : INK;
      context.fillText(cell.getChars(), MARGIN + column * ADVANCE, MARGIN + row * LINE + SIZE);
    }
  return canvas.toBuffer('image/png');
}

/** The cells of each line, without empty lines at the end. */
async function linesOf(output: string, columns: number): Promise<Cell[][]> {
  const rows = output.split('\n').length + Math.ceil(output.length / columns);
  const terminal = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true });
  await new Promise<void>((resolve) => {
    terminal.write(output, resolve);
  });
  const { active } = terminal.buffer;
  const lines = Array.from({ length: rows }, (_, row) => active.getLine(row)!);
  const last = lines.findLastIndex((line) => line.translateToString(true) !== '');
  return lines
    .slice(0, last + 1)
    .map((line) => Array.from({ length: columns }, (_, column) => line.getCell(column)!));
}
