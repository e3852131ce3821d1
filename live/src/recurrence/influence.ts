// R11: the influence of every step on the output of RNN, LSTM and GRU.

import type { Section } from "../page";
import { type Cell, type Direction, HIDDEN, influence, INPUTS, LONGEST, tokens } from "../math/recurrence/influence";
import { choice, row, slider } from "../ui/controls";
import { h } from "../ui/dom";
import { logarithmicAxis, stepAxis } from "../ui/axes";
import { curves, legend } from "../ui/lines";
import { number, percentage } from "../ui/numbers";
import { plot } from "../ui/plot";

const CELLS: readonly Cell[] = ["RNN", "LSTM", "GRU"];
const X = tokens();
const LAST = 10;
const SMALLEST = 1e-10;

export const influenceSection: Section = {
  id: "influence",
  rows: ["R11"],
  title: "The last steps have the most influence",
  statement:
    "In theory LSTM and GRU handle very long sequences. In practice the influence of a step falls with its distance from the end, for all three cells before they are trained. So direction matters: for a backward network the first steps have the most influence.",
  task: "lengthen the sequence, then reverse the direction. Raise the bias of the gate that keeps the state until the first steps matter to the LSTM.",
  render(root) {
    const length = slider({ label: "number of steps T", min: 20, max: LONGEST, step: 5, value: 60 }, () => draw());
    const gain = slider({ label: "factor of W_hh", min: 0.5, max: 4, step: 0.1, value: 1 }, () => draw());
    const keep = slider({ label: "bias of the gate that keeps the state", min: -1, max: 6, step: 0.25, value: 1 }, () =>
      draw(),
    );
    const seed = slider({ label: "seed of the weights", min: 1, max: 20, step: 1, value: 1 }, () => draw());
    const direction = choice<Direction>(
      "direction",
      { forward: "forward", backward: "backward", both: "both" },
      "forward",
      () => draw(),
    );
    const work = h("div", { "aria-live": "polite" });
    const all = () => {
      const x = X.slice(0, length.value);
      const options = { seed: 10 * seed.value, gain: gain.value, keep: keep.value, direction: direction.value };
      return CELLS.map((cell) => influence(cell, x, options));
    };
    const shares = (values: readonly number[]) => {
      const sum = values.reduce((a, b) => a + b, 0);
      return values.map((value) => value / sum);
    };
    const figure = plot(
      "Influence of every step on the final state, on a logarithmic axis; what is below 10⁻¹⁰ is drawn at the bottom",
      () => {
        const time = Array.from({ length: length.value }, (_, t) => t + 1);
        return {
          x: stepAxis("step t", 1, length.value),
          y: { ...logarithmicAxis("influence of step t"), domain: [SMALLEST, 1] },
          marks: curves(
            all().map((values, i) => ({
              name: CELLS[i],
              values: shares(values).map((share) => Math.max(share, SMALLEST)),
              x: time,
            })),
            { logarithmic: true },
          ),
        };
      },
    );
    function draw() {
      const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
      work.replaceChildren(
        h(
          "div",
          { class: "scroll" },
          h(
            "table",
            {},
            h("caption", {}, "Influence, summed over steps, and norms of the gradient"),
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                ...["cell", `first ${LAST} steps`, `last ${LAST} steps`, "‖∂L/∂x(1)‖", "‖∂L/∂x(T)‖"].map((text) =>
                  h("th", { scope: "col" }, text),
                ),
              ),
            ),
            h(
              "tbody",
              {},
              ...all().map((values, i) => {
                const share = shares(values);
                const cell = (value: number, name: string) => h("td", {}, number(value, `${CELLS[i]}.${name}`));
                return h(
                  "tr",
                  {},
                  h("th", { scope: "row" }, CELLS[i]),
                  h("td", {}, percentage(sum(share.slice(0, LAST)), `${CELLS[i]}.first ten`)),
                  h("td", {}, percentage(sum(share.slice(-LAST)), `${CELLS[i]}.last ten`)),
                  cell(values[0], "first"),
                  cell(values.at(-1)!, "last"),
                );
              }),
            ),
          ),
        ),
      );
      figure.update();
    }
    root.append(
      row(length, direction, gain, keep, seed),
      h("p", { class: "quiet" }, "Influence of step t: ‖∂L/∂x(t)‖, divided by the sum over all steps."),
      legend(CELLS),
      figure.element,
      work,
      h(
        "p",
        { class: "quiet" },
        `Untrained cells of ${HIDDEN} units on ${INPUTS} normal inputs, with PyTorch's initialisation; L is the sum of the final state. The keeping gate is f of the LSTM, and z of the GRU in PyTorch's form; the RNN has none.`,
      ),
    );
    draw();
  },
};
