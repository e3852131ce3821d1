// R9: forward and backward states of the same tokens, and which tokens each of them has seen.

import type { Section } from "../page";
import { gru, type GruForm } from "../math/recurrence/gru";
import { lstm } from "../math/recurrence/lstm";
import { rnn } from "../math/recurrence/rnn";
import { choice, row, slider, stepper } from "../ui/controls";
import { h } from "../ui/dom";
import { equation } from "../ui/equation";
import { matrix } from "../ui/matrix";
import { number } from "../ui/numbers";
import { signalEditor } from "../ui/signal";

const WORDS = ["the", "film", "was", "not", "bad", "at", "all"];
const SIGNAL = [0.1, 0.4, 0, -1, -0.8, 0.2, 0.3];

type Cell = "RNN" | "LSTM" | "GRU";
const PYTORCH: GruForm = { reset: "after", update: "old" };

/** The states of one unit: weights of x are 1, those of h are w, biases are zero, and 1 for the forget gate. */
function run(cell: Cell, tokens: readonly number[], w: number): number[] {
  const x = tokens.map((value) => [value]);
  const every = (gates: number, value: number) => Array.from({ length: gates }, () => [value]);
  if (cell === "LSTM") {
    const weights = { ih: every(4, 1), hh: every(4, w), b: [0, 1, 0, 0] };
    return lstm(weights, x, { h: [0], c: [0] }).map(({ h: [value] }) => value);
  }
  if (cell === "GRU") {
    const weights = { ih: every(3, 1), hh: every(3, w), bi: [0, 0, 0], bh: [0, 0, 0] };
    return gru(weights, PYTORCH, x, [0]).map(({ h: [value] }) => value);
  }
  return rnn({ hh: [[w]], hx: [[1]], b: [0] }, x, [0]).map(([value]) => value);
}

/** Forward and backward states, both by position. */
function states(cell: Cell, x: readonly number[], forward: number, backward: number): [number[], number[]] {
  return [run(cell, x, forward), run(cell, [...x].reverse(), backward).reverse()];
}

export const bidirectional: Section = {
  id: "bidirectional",
  rows: ["R9"],
  title: "Both directions",
  statement:
    "The state of a forward layer at step t has seen the tokens 1 to t. A second layer with its own weights reads from the end, and its state has seen the tokens t to T. A bidirectional layer concatenates both, so that every output has seen the whole sequence.",
  task: "change one token and see which states change. Which of the two states at “was” depends on “not”, which follows?",
  render(root) {
    const x = signalEditor(
      {
        label: "input x(t), one number for each word",
        values: SIGNAL,
        min: -2,
        max: 2,
        name: (i) => `x(${i + 1}), ${WORDS[i]}`,
      },
      () => draw(),
    );
    const cell = choice<Cell>("cell", { RNN: "RNN", LSTM: "LSTM", GRU: "GRU" }, "RNN", () => draw());
    const forward = slider({ label: "w of the forward layer", min: -1.5, max: 1.5, step: 0.05, value: 0.8 }, () =>
      draw(),
    );
    const backward = slider({ label: "w of the backward layer", min: -1.5, max: 1.5, step: 0.05, value: 0.6 }, () =>
      draw(),
    );
    const changed = slider({ label: "changed token j", min: 1, max: WORDS.length, step: 1, value: 4 }, () => draw());
    const change = slider({ label: "change of x(j)", min: -1, max: 1, step: 0.05, value: 0.5 }, () => draw());
    const position = stepper("step t", WORDS.length, 3, () => draw(), 1);
    const work = h("div", { "aria-live": "polite" });
    function draw() {
      const t = position.value;
      const [ahead, back] = states(cell.value, x.values, forward.value, backward.value);
      const moved = x.values.map((value, j) => (j === changed.value - 1 ? value + change.value : value));
      const [aheadMoved, backMoved] = states(cell.value, moved, forward.value, backward.value);
      const differences = [
        aheadMoved.map((value, j) => value - ahead[j]),
        backMoved.map((value, j) => value - back[j]),
      ];
      const chips = WORDS.map((word, j) => {
        const seen = `${j + 1 <= t ? "→" : ""}${j + 1 >= t ? "←" : ""}`;
        return h("span", { class: "token", "data-seen": seen }, `${seen} ${word}`);
      });
      work.replaceChildren(
        h(
          "p",
          {},
          `At step ${t}, the forward state has seen the words marked →, the backward state those marked ←: `,
          ...chips,
        ),
        matrix([ahead, back], {
          caption: `Both states; the output at step ${t} is its column: (forward, backward)`,
          rowNames: ["→ forward h(t)", "← backward h(t)"],
          columnNames: WORDS,
          scale: 1.2,
          digits: 3,
          marked: (_, j) => j === t - 1,
          name: (i, j) => `${["forward", "backward"][i]}[${j + 1}]`,
        }),
        matrix(differences, {
          caption: `What changes when x(${changed.value}), “${WORDS[changed.value - 1]}”, changes by ${change.value.toFixed(2)}; changed states are framed`,
          rowNames: ["→ change of forward", "← change of backward"],
          columnNames: WORDS,
          scale: 1.2,
          digits: 3,
          marked: (i, j) => differences[i][j] !== 0,
          name: (i, j) => `${["forward", "backward"][i]}.change[${j + 1}]`,
        }),
        h(
          "p",
          {},
          "Final states: the forward layer ends at the last word with ",
          number(ahead.at(-1)!, "forward.final"),
          ", the backward layer at the first word with ",
          number(back[0], "backward.final"),
          ".",
        ),
      );
    }
    root.append(
      equation(
        "h^{→}(t) = f_{→}(h^{→}(t−1), x(t)),   h^{←}(t) = f_{←}(h^{←}(t+1), x(t)),   output (h^{→}(t), h^{←}(t))",
      ),
      x.element,
      row(cell, forward, backward, changed, change),
      position.element,
      work,
    );
    draw();
  },
};
