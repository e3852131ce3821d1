// Curves that differ by dashes and markers as well as by colour, with a legend of text beside the samples.

import { h, svg } from "./dom";
import { mathematics } from "./equation";
import { Plot } from "./plot";

export interface Curve {
  name: string;
  values: readonly number[];
  /** Position of each value; 0, 1, 2, … unless given. */
  x?: readonly number[];
}

export interface CurveStyle {
  colour: string;
  dash: string;
  symbol: "circle" | "square" | "triangle" | "diamond";
}

const STYLES: readonly CurveStyle[] = [
  { colour: "var(--positive)", dash: "none", symbol: "circle" },
  { colour: "var(--negative)", dash: "7 4", symbol: "square" },
  { colour: "var(--good)", dash: "2 3", symbol: "triangle" },
  { colour: "var(--quiet)", dash: "10 3 2 3", symbol: "diamond" },
];

/** Return the style of curve i. */
export const curveStyle = (i: number): CurveStyle => STYLES[i % STYLES.length];

/** Return the marks of curves; on a logarithmic axis leave out what is not positive. */
export function curves(all: readonly Curve[], { logarithmic = false, markers = true } = {}): Plot.Markish[] {
  return all.flatMap((curve, i) => {
    const { colour, dash, symbol } = curveStyle(i);
    const points = curve.values
      .map((y, k) => ({ x: curve.x?.[k] ?? k, y }))
      .filter(({ y }) => Number.isFinite(y) && (!logarithmic || y > 0));
    const line = Plot.line(points, { x: "x", y: "y", stroke: colour, strokeWidth: 2, strokeDasharray: dash });
    const every = Math.max(1, Math.ceil(points.length / 14));
    const shown = points.filter((_, k) => k % every === 0);
    return markers ? [line, Plot.dot(shown, { x: "x", y: "y", fill: colour, symbol, r: 3.5 })] : [line];
  });
}

/** Return the legend of curves in the same order. */
export function legend(names: readonly string[]): HTMLElement {
  return h(
    "ul",
    { class: "legend" },
    ...names.map((name, i) => {
      const { colour, dash } = curveStyle(i);
      const sample = svg("line", {
        x1: "0",
        x2: "34",
        y1: "6",
        y2: "6",
        stroke: colour,
        "stroke-width": "2.5",
        "stroke-dasharray": dash,
      });
      const marks = { circle: "●", square: "■", triangle: "▲", diamond: "◆" };
      const mark = svg(
        "text",
        { x: "17", y: "10", "text-anchor": "middle", fill: colour, "font-size": "11" },
        marks[curveStyle(i).symbol],
      );
      return h(
        "li",
        {},
        svg("svg", { width: "34", height: "12", "aria-hidden": "true" }, sample, mark),
        " ",
        h("span", {}, ...mathematics(name)),
      );
    }),
  );
}
