// A matrix of weights, each with a slider of its own.

import type { Control } from "./controls";
import { h } from "./dom";
import { mathematics } from "./equation";
import { colour } from "./matrix";
import { format } from "./numbers";

export interface WeightOptions {
  /** What the matrix is, as an equation, such as "W_{hh}". */
  label: string;
  /** Name of each weight, for screen readers: "W_hh[1][2]". */
  name: (i: number, j: number) => string;
  values: readonly (readonly number[])[];
  min?: number;
  max?: number;
  step?: number;
  rowNames?: readonly string[];
  columnNames?: readonly string[];
}

/** Sliders for a matrix. Setting `value` moves them without calling `changed`. */
export function weights(options: WeightOptions, changed: () => void): Control<number[][]> {
  const { label, name, min = -2, max = 2, step = 0.05, rowNames, columnNames } = options;
  const cells = options.values.map((line, i) =>
    line.map((value, j) => {
      const input = h("input", {
        type: "range",
        min: `${min}`,
        max: `${max}`,
        step: `${step}`,
        "aria-label": name(i, j),
      });
      const shown = h("output");
      const cell = h("td", {}, shown, input);
      const show = () => {
        shown.textContent = format(input.valueAsNumber, 2);
        cell.style.background = colour(input.valueAsNumber, max);
      };
      input.value = `${value}`;
      input.addEventListener("input", () => {
        show();
        changed();
      });
      show();
      return { input, cell, show };
    }),
  );
  const table = h("table", { class: "matrix weights" }, h("caption", {}, ...mathematics(label)));
  if (columnNames) {
    const corner = rowNames ? [h("td", {})] : [];
    table.append(
      h(
        "thead",
        {},
        h("tr", {}, ...corner, ...columnNames.map((text) => h("th", { scope: "col" }, ...mathematics(text)))),
      ),
    );
  }
  table.append(
    h(
      "tbody",
      {},
      ...cells.map((line, i) =>
        h(
          "tr",
          {},
          ...(rowNames ? [h("th", { scope: "row" }, ...mathematics(rowNames[i]))] : []),
          ...line.map(({ cell }) => cell),
        ),
      ),
    ),
  );
  return {
    element: h("div", { class: "scroll weights-holder" }, table),
    get value() {
      return cells.map((line) => line.map(({ input }) => input.valueAsNumber));
    },
    set value(next: number[][]) {
      cells.forEach((line, i) =>
        line.forEach(({ input, show }, j) => {
          input.value = `${next[i][j]}`;
          show();
        }),
      );
    },
  };
}

/** Sliders for a vector, as a column. */
export function biases(
  options: Omit<WeightOptions, "values" | "name"> & { values: readonly number[]; symbol: string },
  changed: () => void,
): Control<number[]> {
  const { values, symbol, ...rest } = options;
  const inner = weights(
    { ...rest, values: values.map((value) => [value]), name: (i) => `${symbol}[${i + 1}]` },
    changed,
  );
  return {
    element: inner.element,
    get value() {
      return inner.value.map(([value]) => value);
    },
    set value(next: number[]) {
      inner.value = next.map((value) => [value]);
    },
  };
}
