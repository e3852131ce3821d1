// The numbers of parameters of the three cells, for sections on LSTM and GRU.

import { GATES, parameterCount } from "../math/recurrence/parameters";
import { row, slider, toggle } from "../ui/controls";
import { h } from "../ui/dom";
import { number } from "../ui/numbers";

const CELLS = ["RNN", "LSTM", "GRU"] as const;

/** Sliders for D and H, and the count of every cell; `framed` is the one that the section is about. */
export function parameterTable(framed: (typeof CELLS)[number]): HTMLElement {
  const inputs = slider({ label: "inputs D", min: 1, max: 512, step: 1, value: 64 }, () => draw());
  const hidden = slider({ label: "hidden units H", min: 1, max: 512, step: 1, value: 128 }, () => draw());
  const two = toggle("two bias vectors per gate, as in PyTorch", true, () => draw());
  const table = h("div", { class: "scroll", "aria-live": "polite" });
  function draw() {
    const biases = two.value ? 2 : 1;
    const count = (cell: (typeof CELLS)[number]) => parameterCount(cell, inputs.value, hidden.value, biases);
    table.replaceChildren(
      h(
        "table",
        {},
        h("caption", {}, "Parameters: gates × H × (D + H + bias vectors)"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ...["cell", "blocks of weights", "parameters", "times the RNN"].map((text) =>
              h("th", { scope: "col" }, text),
            ),
          ),
        ),
        h(
          "tbody",
          {},
          ...CELLS.map((cell) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, cell === framed ? `${cell} ◂` : cell),
              h("td", {}, `${GATES[cell]}`),
              h("td", {}, number(count(cell), `parameters.${cell}`, 0)),
              h("td", {}, number(count(cell) / count("RNN"), `factor.${cell}`, 0)),
            ),
          ),
        ),
      ),
    );
  }
  draw();
  return h("div", {}, row(inputs, hidden, two), table);
}
