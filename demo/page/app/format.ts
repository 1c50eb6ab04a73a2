/** Numbers as the page writes them. */

export function decimals(value: number | null | undefined): string {
  return value === null || value === undefined ? '–' : value.toFixed(2);
}

/** A share as whole percent. */
export function percent(share: number): string {
  return `${Math.round(100 * share)}%`;
}

/** With at most one decimal: 3, 2.5. */
export function short(value: number): string {
  return String(Math.round(10 * value) / 10);
}
