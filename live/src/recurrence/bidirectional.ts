// R9: forward and backward states of the same tokens, and which tokens each of them has seen.

import type { Section } from "../page";
import { rnn } from "../math/recurrence/rnn";
import { row, slider, stepper } from "../ui/controls";
import { h } from "../ui/dom";
import { equation } from "../ui/equation";
import { matrix } from "../ui/matrix";
import { number } from "../ui/numbers";
import { signalEditor } from "../ui/signal";

const WORDS = ["the", "film", "was", "not", "bad", "at", "all"];
const SIGNAL = [0.1, 0.4, 0, -1, -0.8, 0.2, 0.3];

/** Forward and backward states, both by position. */
function states(x: readonly number[], forward: number, backward: number): [number[], number[]] {
  const run = (tokens: readonly number[], w: number) =>
    rnn(
      { hh: [[w]], hx: [[1]], b: [0] },
      tokens.map((value) => [value]),
      [0],
    ).map(([value]) => value);
  return [run(x, forward), run([...x].reverse(), backward).reverse()];
}

export const bidirectional: Section = {
  id: "bidirectional",
  rows: ["R9"],
  title: "Both directions",
  statement:
    "The state of a forward RNN at step t has seen the tokens 1 to t. A second RNN with weights of its own reads from the end, and its state has seen the tokens t to T. A bidirectional layer concatenates both, so that every output has seen the whole sequence.",
  task: "change one token and look which states change. Then move it: which of the two states at “was” knows that “not” follows?",
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
    const forward = slider({ label: "w of the forward RNN", min: -1.5, max: 1.5, step: 0.05, value: 0.8 }, () =>
      draw(),
    );
    const backward = slider({ label: "w of the backward RNN", min: -1.5, max: 1.5, step: 0.05, value: 0.6 }, () =>
      draw(),
    );
    const changed = slider({ label: "changed token j", min: 1, max: WORDS.length, step: 1, value: 4 }, () => draw());
    const change = slider({ label: "change of x(j)", min: -1, max: 1, step: 0.05, value: 0.5 }, () => draw());
    const position = stepper("step t", WORDS.length, 3, () => draw(), 1);
    const work = h("div", { "aria-live": "polite" });
    function draw() {
      const t = position.value;
      const [ahead, back] = states(x.values, forward.value, backward.value);
      const moved = x.values.map((value, j) => (j === changed.value - 1 ? value + change.value : value));
      const [aheadMoved, backMoved] = states(moved, forward.value, backward.value);
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
          "Final states: the forward RNN ends at the last word with ",
          number(ahead.at(-1)!, "forward.final"),
          ", the backward RNN at the first word with ",
          number(back[0], "backward.final"),
          ".",
        ),
      );
    }
    root.append(
      equation("h^{→}(t) = tanh(w^{→} h^{→}(t−1) + x(t)),   h^{←}(t) = tanh(w^{←} h^{←}(t+1) + x(t))"),
      x.element,
      row(forward, backward, changed, change),
      position.element,
      work,
    );
    draw();
  },
};
