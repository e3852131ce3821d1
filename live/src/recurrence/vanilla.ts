// R2: the vanilla RNN of two units, unrolled.

import { softmax } from "../math/softmax";
import type { Section } from "../page";
import { add, product, type Vector } from "../math/recurrence/linear";
import { rnn } from "../math/recurrence/rnn";
import { row, slider, stepper } from "../ui/controls";
import { h, svg } from "../ui/dom";
import { equation } from "../ui/equation";
import { colour, matrix } from "../ui/matrix";
import { format, number } from "../ui/numbers";
import { signalEditor } from "../ui/signal";
import { networkSliders } from "./network";

const SIGNAL = [1, 0, 0.5, -1, 0, 0];

export const vanilla: Section = {
  id: "vanilla",
  rows: ["R2"],
  title: "The vanilla RNN, unrolled",
  statement:
    "The vanilla RNN adds a bias, a product with the previous state and a product with the token, and applies tanh. A softmax turns the state of every step into probabilities. The weights are the same at every step. The state before the first step, h(0), is zeros unless it is given.",
  task: "move one weight of W_{hh} and watch which states change. Then set W_{hh} to zero: what does h(t) still know about the past?",
  render(root) {
    const x = signalEditor({ label: "input x(t)", values: SIGNAL, min: -2, max: 2, name: (i) => `x(${i + 1})` }, () =>
      draw(),
    );
    const sliders = networkSliders(() => draw());
    const initial = [0, 1].map((unit) =>
      slider({ label: `h(0), unit ${unit + 1}`, min: -1, max: 1, step: 0.05, value: 0 }, () => draw()),
    );
    const position = stepper("step t", SIGNAL.length, 2, () => draw(), 1);
    const picture = h("div", {
      class: "scroll",
      tabindex: "0",
      role: "region",
      "aria-label": "the network, unrolled over its steps",
    });
    const work = h("div", { "aria-live": "polite" });
    function draw() {
      const [{ rnn: w, readout }, h0, t] = [sliders, initial.map(({ value }) => value), position.value - 1];
      const states = rnn(
        w,
        x.values.map((value) => [value]),
        h0,
      );
      const outputs = states.map((state) => softmax(add(readout.b, product(readout.oh, state))));
      const before = t ? states[t - 1] : h0;
      picture.replaceChildren(unrolled(x.values, h0, states, outputs, t));
      work.replaceChildren(
        h("h3", {}, `Step ${t + 1} in numbers`),
        h(
          "div",
          { class: "matrices" },
          matrix(
            [0, 1].map((i) => [w.b[i], product(w.hh, before)[i], product(w.hx, [x.values[t]])[i], states[t][i]]),
            {
              caption: `h(${t + 1}) is the tanh of the sum of the first three columns`,
              rowNames: ["unit 1", "unit 2"],
              columnNames: ["b", `W·h(${t})`, `W·x(${t + 1})`, `h(${t + 1})`],
              scale: 2,
              marked: (_, j) => j === 3,
            },
          ),
          matrix(
            outputs[t].map((value, i) => [add(readout.b, product(readout.oh, states[t]))[i], value]),
            {
              caption: "The output is the softmax of the first column",
              rowNames: ["class A", "class B"],
              columnNames: ["logit", `o(${t + 1})`],
              scale: 2,
              marked: (_, j) => j === 1,
            },
          ),
        ),
        h("h3", {}, "All steps"),
        matrix(
          [0, 1].flatMap((i) => [states.map((state) => state[i])]).concat([0, 1].map((i) => outputs.map((o) => o[i]))),
          {
            caption: "States and probabilities",
            rowNames: ["h, unit 1", "h, unit 2", "o, class A", "o, class B"],
            columnNames: states.map((_, step) => `t = ${step + 1}`),
            digits: 3,
            scale: 1.5,
            marked: (_, j) => j === t,
            name: (i, j) => `${i < 2 ? "h" : "o"}[${j + 1}][${(i % 2) + 1}]`,
          },
        ),
        h("p", {}, "Final state: h(T) = (", number(states.at(-1)![0]), ", ", number(states.at(-1)![1]), ")."),
      );
    }
    root.append(
      equation("h(t) = tanh(b_{h} + W_{hh} h(t−1) + W_{hx} x(t))", "o(t) = softmax(b_{o} + W_{oh} h(t))"),
      sliders.element,
      row(...initial),
      x.element,
      position.element,
      picture,
      work,
    );
    draw();
  },
};

/** The network as a row of steps: tokens below, states in the middle, probabilities above. */
function unrolled(
  x: readonly number[],
  h0: Vector,
  states: readonly Vector[],
  outputs: readonly Vector[],
  current: number,
): SVGElement {
  const step = 92;
  const width = step * (states.length + 1);
  const state = (values: Vector, left: number, name: string, isCurrent: boolean) =>
    svg(
      "g",
      {},
      ...values.map((value, unit) =>
        svg("rect", {
          x: `${left}`,
          y: `${78 + 26 * unit}`,
          width: "52",
          height: "24",
          rx: "5",
          style: `fill:${colour(value, 1)}`,
          stroke: isCurrent ? "var(--accent)" : "var(--line)",
          "stroke-width": isCurrent ? "2.5" : "1",
        }),
      ),
      ...values.map((value, unit) => svg("text", { x: `${left + 26}`, y: `${94 + 26 * unit}` }, format(value, 2))),
      svg("text", { x: `${left + 26}`, y: "146", class: "name" }, name),
    );
  const arrow = (x1: number, y1: number, x2: number, y2: number) =>
    svg("line", { x1: `${x1}`, y1: `${y1}`, x2: `${x2}`, y2: `${y2}`, class: "arrow", "marker-end": "url(#arrow)" });
  const parts = states.flatMap((values, t) => {
    const left = step * (t + 1) + 10;
    return [
      state(values, left, `h(${t + 1})`, t === current),
      arrow(left - 28, 103, left - 3, 103),
      svg(
        "text",
        { x: `${left - 15}`, y: "96", class: "name" },
        "W",
        svg("tspan", { dy: "3", "font-size": "8" }, "hh"),
      ),
      arrow(left + 26, 178, left + 26, 152),
      svg("text", { x: `${left + 26}`, y: "193" }, `x(${t + 1}) = ${format(x[t], 1)}`),
      arrow(left + 26, 74, left + 26, 50),
      svg("text", { x: `${left + 26}`, y: "24" }, `A ${format(100 * outputs[t][0], 0)} %`),
      svg("text", { x: `${left + 26}`, y: "41" }, `B ${format(100 * outputs[t][1], 0)} %`),
    ];
  });
  const head = svg(
    "marker",
    { id: "arrow", viewBox: "0 0 8 8", refX: "7", refY: "4", markerWidth: "7", markerHeight: "7", orient: "auto" },
    svg("path", { d: "M0 0 8 4 0 8z", fill: "var(--quiet)" }),
  );
  return svg(
    "svg",
    {
      class: "unrolled",
      viewBox: `0 0 ${width} 205`,
      width: `${width}`,
      role: "img",
      "aria-label": "Tokens, states and probabilities; the table below has the numbers",
    },
    svg("defs", {}, head),
    state(h0, 10, "h(0)", false),
    ...parts,
  );
}
