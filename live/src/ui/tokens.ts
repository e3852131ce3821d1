// A text as tokens, coloured by a value for each.

import { h } from "./dom";
import { colour } from "./matrix";
import { format } from "./numbers";

/** Return the tokens of a text with their values; `name` is what tests find the numbers by. */
export function tokenRow(words: readonly string[], values: readonly number[], name: string): HTMLElement {
  const scale = Math.max(1e-9, ...values.map(Math.abs));
  const tokens = words.map((word, t) =>
    h(
      "span",
      { class: "token", style: `background:${colour(values[t], scale)}` },
      word,
      h("data", { value: `${values[t]}`, "data-name": `${name}[${t}]` }, format(values[t], 2)),
    ),
  );
  return h("div", { class: "tokens" }, ...tokens);
}
