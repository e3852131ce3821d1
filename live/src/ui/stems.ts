// A signal as stems: a line from zero and a dot for every step.

import { h, scrolling } from "./dom";
import { number } from "./numbers";
import { Plot } from "./plot";

export interface StemOptions {
  /** Step of the first value. */
  first?: number;
  colour?: string;
  symbol?: "circle" | "square" | "triangle" | "diamond2";
  /** Steps that are drawn filled; all unless given. */
  filled?: (t: number) => boolean;
  /** Sideways, in pixels, for two signals at the same steps. */
  dx?: number;
}

/** Return the marks of a signal. */
export function stems(values: readonly number[], options: StemOptions = {}): Plot.Markish[] {
  const { first = 0, colour = "var(--positive)", symbol = "circle", filled = () => true, dx = 0 } = options;
  const points = values.map((value, i) => ({ t: first + i, value }));
  return [
    Plot.ruleX(points, { x: "t", y1: 0, y2: "value", stroke: colour, strokeWidth: 2, dx }),
    Plot.dot(points, {
      x: "t",
      y: "value",
      r: 4,
      symbol,
      stroke: colour,
      strokeWidth: 2,
      fill: (point) => (filled(point.t) ? colour : "var(--card)"),
      dx,
    }),
  ];
}

/** Numbers that a plot shows, as a table that opens: `name(i)` is what tests find them by. */
export function numbersTable(
  summary: string,
  lines: readonly { label: string; values: readonly number[]; name: (i: number) => string; digits?: number }[],
  columns?: readonly string[],
): HTMLElement {
  const longest = Math.max(0, ...lines.map((line) => line.values.length));
  const titles = columns ?? Array.from({ length: longest }, (_, i) => `${i}`);
  return h(
    "details",
    { class: "numbers" },
    h("summary", {}, summary),
    scrolling(
      summary,
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, h("td", {}), ...titles.map((title) => h("th", { scope: "col" }, title)))),
        h(
          "tbody",
          {},
          ...lines.map(({ label, values, name, digits }) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, label),
              ...values.map((value, i) => h("td", {}, number(value, name(i), digits))),
            ),
          ),
        ),
      ),
    ),
  );
}
