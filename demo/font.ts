/** A bitmap font of digits, capital letters and punctuation, 3 pixels wide and 5 high. */

export const GLYPH_WIDTH = 3;
export const GLYPH_HEIGHT = 5;

/** An octal digit per row, top row first; its three bits are the pixels. */
const GLYPHS: Readonly<Record<string, string>> = {
  '0': '75557',
  '1': '26227',
  '2': '71747',
  '3': '71717',
  '4': '55711',
  '5': '74717',
  '6': '74757',
  '7': '71122',
  '8': '75757',
  '9': '75717',
  '.': '00002',
  ',': '00024',
  '-': '00700',
  '+': '02720',
  '%': '51245',
  ':': '02020',
  '/': '11244',
  '"': '55000',
  ' ': '00000',
  A: '25755',
  B: '65656',
  C: '34443',
  D: '65556',
  E: '74647',
  F: '74644',
  G: '34553',
  H: '55755',
  I: '72227',
  J: '11152',
  K: '55655',
  L: '44447',
  M: '57755',
  N: '65555',
  O: '25552',
  P: '65644',
  Q: '25563',
  R: '65655',
  S: '34216',
  T: '72222',
  U: '55557',
  V: '55552',
  W: '55775',
  X: '55255',
  Y: '55222',
  Z: '71247',
};

/** Whether a pixel of a character is set. Characters without a glyph are blank. */
export function isInk(character: string, row: number, column: number): boolean {
  const bits = Number(GLYPHS[character.toUpperCase()]?.[row] ?? 0);
  return ((bits >> (GLYPH_WIDTH - 1 - column)) & 1) === 1;
}
