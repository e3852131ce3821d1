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
