/** Texts of up to twelve pieces of JSON, some of which are JSON. */
import fc from 'fast-check';

const PUNCTUATION = ['{', '}', '[', ']', ',', ':', '"', '\\', '\\u00e9', '-', ' ', '\n', '\u0001'];
const VALUES = ['"a"', '1', '-0.5e3', '01', 'true', 'nul'];

export const nearlyJson = fc
  .array(fc.constantFrom(...PUNCTUATION, ...VALUES), { maxLength: 12 })
  .map((pieces) => pieces.join(''));
