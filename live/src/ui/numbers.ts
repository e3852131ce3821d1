// Numbers in the page. The shown digits are few; the attribute `value` has all of them, for tests and for copying.

import { h } from "./dom";

/** Format a number: fixed digits, scientific where these would show nothing of it. */
export function format(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "undefined" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text =
    size !== 0 && (size < 0.5 * 10 ** -digits || size >= 1e6) ? value.toExponential(2) : value.toFixed(digits);
  return text.replaceAll("-", "−");
}

/** Format base^n for base > 0; also where it is too small or too large for float64. */
export function formatPower(base: number, n: number, digits = 3): string {
  const value = base ** n;
  if (value >= 1e-300 && value <= 1e300) return format(value, digits);
  const logarithm = n * Math.log10(base);
  const exponent = Math.floor(logarithm);
  return `${(10 ** (logarithm - exponent)).toFixed(2)}e${exponent < 0 ? "−" : "+"}${Math.abs(exponent)}`;
}

/** Return a number as an element; `name` is what tests find it by. */
export function number(value: number, name = "", digits = 3): HTMLElement {
  return h("data", { value: String(value), ...(name && { "data-name": name }) }, format(value, digits));
}

/** Format a share from 0 to 1 as a percentage. */
export const percent = (share: number, digits = 1): string => `${format(100 * share, digits)} %`;

/** Return a share as an element that shows a percentage; its `value` is the share. */
export function percentage(share: number, name = "", digits = 1): HTMLElement {
  return h("data", { value: String(share), ...(name && { "data-name": name }) }, percent(share, digits));
}
