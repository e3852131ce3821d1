// A matrix as a table whose cells are coloured by sign and size.

import { h, scrolling } from "./dom";
import { mathematics, plainText } from "./equation";
import { format } from "./numbers";

export interface MatrixOptions {
  /** Names may have subscripts, see `mathematics`. */
  caption: string;
  rowNames?: readonly string[];
  columnNames?: readonly string[];
  /** Largest absolute value, which has the full colour; that of the matrix unless given. */
  scale?: number;
  digits?: number;
  /** Text of a cell; its number with `digits` unless given. */
  text?: (i: number, j: number) => string;
  /** Whether a cell is marked. */
  marked?: (i: number, j: number) => boolean;
  /** Name of a cell's number for tests, such as "W[0][1]". */
  name?: (i: number, j: number) => string;
}

/** Return the colour of a value: blue above zero, orange below, stronger with its size. */
export function colour(value: number, scale: number): string {
  const share = scale > 0 ? Math.min(Math.abs(value) / scale, 1) : 0;
  return `color-mix(in oklab, var(${value < 0 ? "--negative" : "--positive"}) ${(75 * share).toFixed(1)}%, transparent)`;
}

/** Return a table of the numbers. */
export function matrix(values: readonly (readonly number[])[], options: MatrixOptions): HTMLElement {
  const { caption, rowNames, columnNames, digits = 2, marked, name, text } = options;
  const scale = options.scale ?? Math.max(1e-12, ...values.flat().map(Math.abs));
  const table = h("table", { class: "matrix" }, h("caption", {}, ...mathematics(caption)));
  if (columnNames) {
    const corner = rowNames ? [h("td", {})] : [];
    table.append(
      h(
        "thead",
        {},
        h("tr", {}, ...corner, ...columnNames.map((title) => h("th", { scope: "col" }, ...mathematics(title)))),
      ),
    );
  }
  const body = h("tbody");
  values.forEach((numbers, i) => {
    const line = h("tr", {}, ...(rowNames ? [h("th", { scope: "row" }, ...mathematics(rowNames[i]))] : []));
    numbers.forEach((value, j) => {
      const shown = h(
        "data",
        { value: `${value}`, ...(name && { "data-name": name(i, j) }) },
        text?.(i, j) ?? format(value, digits),
      );
      const cell = h("td", { style: `background:${colour(value, scale)}` }, shown);
      if (value === 0) cell.classList.add("zero");
      if (marked?.(i, j)) cell.classList.add("marked");
      line.append(cell);
    });
    body.append(line);
  });
  table.append(body);
  return scrolling(plainText(caption), table);
}
