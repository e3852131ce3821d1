// R3: backpropagation through time, one term of the gradient per step.

import { softmax } from "../math/softmax";
import type { Section } from "../page";
import {
  add,
  frobenius,
  type Matrix,
  norm,
  product,
  sumMatrices,
  transposed,
  type Vector,
} from "../math/recurrence/linear";
import { atLastStep, rnn, rnnBackward, type RnnWeights } from "../math/recurrence/rnn";
import { choice, row, slider, stepper, toggle } from "../ui/controls";
import { h, svg } from "../ui/dom";
import { equation } from "../ui/equation";
import { logarithmicAxis, stepAxis } from "../ui/axes";
import { curves, legend } from "../ui/lines";
import { matrix } from "../ui/matrix";
import { format, number } from "../ui/numbers";
import { Plot, plot } from "../ui/plot";
import { signalEditor } from "../ui/signal";
import { networkSliders } from "./network";

const SIGNAL = [1, 0.5, -1, 0.5, 0, 1, -0.5, 0, 1, -1];
const UNITS = ["unit 1", "unit 2"];
const COLUMNS = ["from 1", "from 2"];
const CHANGE = 1e-5;

interface Problem {
  w: RnnWeights;
  readout: { oh: Matrix; b: Vector };
  x: Vector[];
  h0: Vector;
  label: number;
}

/** −log of the label's probability at the last step. */
function lossOf({ w, readout, x, h0, label }: Problem): number {
  const last = rnn(w, x, h0).at(-1)!;
  return -Math.log(softmax(add(readout.b, product(readout.oh, last)))[label]);
}

function gradientsOf(problem: Problem) {
  const { w, readout, x, h0, label } = problem;
  const states = rnn(w, x, h0);
  const probabilities = softmax(add(readout.b, product(readout.oh, states.at(-1)!)));
  const ofLogits = probabilities.map((p, i) => p - (i === label ? 1 : 0));
  const gradients = rnnBackward(w, states, h0, atLastStep(x.length, transposed(readout.oh, ofLogits)));
  return { states, gradients, sum: sumMatrices(gradients.terms, 2, 2) };
}

/** ∂L/∂W_hh by central differences. */
function differences(problem: Problem): Matrix {
  const at = (i: number, j: number, change: number) => {
    const hh = problem.w.hh.map((line) => [...line]);
    hh[i][j] += change;
    return lossOf({ ...problem, w: { ...problem.w, hh } });
  };
  return UNITS.map((_, i) => UNITS.map((__, j) => (at(i, j, CHANGE) - at(i, j, -CHANGE)) / (2 * CHANGE)));
}

/** The sum written out, for a few steps. */
function expanded(steps: number): string {
  const term = (t: number) => `∂L/∂a(${t}) h(${t - 1})ᵀ`;
  const all = Array.from({ length: steps }, (_, k) => term(k + 1));
  const shown = steps > 4 ? [...all.slice(0, 2), "…", all[steps - 1]] : all;
  return `∂L/∂W_{hh} = ${shown.join(" + ")}`;
}

/** The states from left to right, and the gradient as arrows from right to left, thicker where it is larger. */
function wayBack(ofH: readonly number[], terms: readonly number[], current: number): HTMLElement {
  const step = 96;
  const width = step * (ofH.length + 1) + 20;
  const largest = Math.max(...ofH, 1e-300);
  const thickness = (value: number) => `${Math.max(0.7, (9 * value) / largest).toFixed(2)}`;
  const steps = ofH.flatMap((size, k) => {
    const left = step * k + 40;
    const right = left + step;
    return [
      svg("rect", {
        x: `${left - 26}`,
        y: "42",
        width: "52",
        height: "28",
        rx: "6",
        fill: "var(--card)",
        stroke: k + 1 === current ? "var(--accent)" : "var(--line)",
        "stroke-width": k + 1 === current ? "2.5" : "1",
      }),
      svg("text", { x: `${left}`, y: "61" }, `h(${k + 1})`),
      svg("line", {
        x1: `${right - 28}`,
        x2: `${left + 36}`,
        y1: "56",
        y2: "56",
        stroke: "var(--negative)",
        "stroke-width": thickness(size),
      }),
      svg("path", { d: `M${left + 28} 56l10 -7v14z`, fill: "var(--negative)" }),
      svg("text", { x: `${left + 48}`, y: "36" }, format(size, 3)),
      svg("line", { x1: `${left}`, x2: `${left}`, y1: "70", y2: "92", stroke: "var(--quiet)", "stroke-width": "1.5" }),
      svg("path", { d: `M${left} 98l-5 -8h10z`, fill: "var(--quiet)" }),
      svg("text", { x: `${left}`, y: "112" }, format(terms[k], 3)),
    ];
  });
  const last = step * ofH.length + 40;
  const picture = svg(
    "svg",
    {
      class: "unrolled",
      viewBox: `0 0 ${width} 132`,
      width: `${width}`,
      role: "img",
      "aria-label": "The norm of the gradient at every state, and of every term",
    },
    ...steps,
    svg("text", { x: `${last}`, y: "61" }, "loss L"),
    svg("text", { x: "4", y: "14", class: "name", style: "text-anchor:start" }, "← ‖∂L/∂h(t)‖ arrives at each state"),
    svg("text", { x: "4", y: "128", class: "name", style: "text-anchor:start" }, "↓ norm of the term of each step"),
  );
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "the gradient at every state" },
    picture,
  );
}

export const throughTime: Section = {
  id: "bptt",
  rows: ["R3"],
  title: "Backpropagation through time",
  statement:
    "The gradient of the loss flows back from the last step to the first. Every step uses the same W_{hh}, so every step adds one term to its gradient: ∂L/∂W_{hh} is the sum of one matrix per step.",
  task: "with T = 3, compare the three terms with their sum. Then lengthen the sequence: how large are the terms of the first steps beside those of the last ones?",
  render(root) {
    const length = slider({ label: "number of steps T", min: 3, max: 10, step: 1, value: 3 }, (steps) => {
      x.values = SIGNAL.slice(0, steps).map((value, t) => x.values[t] ?? value);
      position.last = steps;
      draw();
    });
    const x = signalEditor(
      { label: "input x(t)", values: SIGNAL.slice(0, 3), min: -2, max: 2, name: (i) => `x(${i + 1})` },
      () => draw(),
    );
    const sliders = networkSliders(() => draw());
    const label = choice<"0" | "1">("correct class at step T", { 0: "class A", 1: "class B" }, "1", () => draw());
    const given = toggle("h(0) = (0.5, −0.5) in place of zeros", false, () => draw());
    const position = stepper("step t, from T back to 1", 3, 2, () => draw(), 1);
    const terms = h("div", {});
    const work = h("div", { "aria-live": "polite" });
    const problem = (): Problem => ({
      w: sliders.rnn,
      readout: sliders.readout,
      x: x.values.map((value) => [value]),
      h0: given.value ? [0.5, -0.5] : [0, 0],
      label: Number(label.value),
    });
    const figure = plot("Size of the gradient at every step, on a logarithmic axis", () => {
      const { gradients } = gradientsOf(problem());
      const time = gradients.h.map((_, t) => t + 1);
      return {
        x: stepAxis("step t", 1, time.length),
        y: logarithmicAxis("norm"),
        marks: [
          Plot.ruleX([position.value], { stroke: "var(--line)", strokeWidth: 12 }),
          ...curves(
            [
              { name: "h", values: gradients.h.map(norm), x: time },
              { name: "terms", values: gradients.terms.map(frobenius), x: time },
            ],
            { logarithmic: true },
          ),
        ],
      };
    });
    function draw() {
      const now = problem();
      const { states, gradients, sum } = gradientsOf(now);
      const t = position.value;
      const scale = Math.max(...sum.flat().map(Math.abs), ...gradients.terms.flat(2).map(Math.abs), 1e-12);
      const shown = (values: Matrix, caption: string, name: string, isMarked = false, isFirst = true) =>
        matrix(values, {
          caption,
          ...(isFirst && { rowNames: UNITS }),
          columnNames: COLUMNS,
          scale,
          digits: 4,
          marked: () => isMarked,
          name: (i, j) => `${name}[${i + 1}][${j + 1}]`,
        });
      const checked = differences(now);
      const gap = Math.max(...checked.flat().map((value, k) => Math.abs(value - sum.flat()[k])));
      terms.replaceChildren(
        h("h3", {}, "The gradient flows backward"),
        wayBack(gradients.h.map(norm), gradients.terms.map(frobenius), t),
        h("h3", {}, "The terms, and their sum"),
        equation(expanded(now.x.length)),
        h(
          "div",
          { class: "matrices" },
          ...gradients.terms.flatMap((term, k) => [
            h("span", { class: "operator", "aria-hidden": "true" }, k ? "+" : ""),
            shown(term, `term of t = ${k + 1}`, `term[${k + 1}]`, k + 1 === t, k === 0),
          ]),
          h("span", { class: "operator" }, "="),
          shown(sum, "∂L/∂W_{hh}, their sum", "gradient", false, false),
        ),
        h(
          "details",
          {},
          h("summary", {}, "Check by finite differences: largest difference ", number(gap, "difference", 3)),
          h(
            "p",
            {},
            "Each weight is moved up and down by 10⁻⁵ and the loss is computed again: (L(w + ε) − L(w − ε)) / 2ε.",
          ),
          shown(checked, "∂L/∂W_{hh} by finite differences", "finite"),
        ),
      );
      const before = t > 1 ? states[t - 2] : now.h0;
      work.replaceChildren(
        h("h3", {}, `Step ${t} in numbers`),
        matrix(
          [0, 1].map((i) => [
            states[t - 1][i],
            gradients.h[t - 1][i],
            1 - states[t - 1][i] ** 2,
            gradients.a[t - 1][i],
            before[i],
          ]),
          {
            caption: `∂L/∂h(${t}) comes ${t === now.x.length ? "from the loss" : `from step ${t + 1}`}; times the slope of tanh it is ∂L/∂a(${t}), with a(${t}) the argument of tanh; the term is ∂L/∂a(${t}) h(${t - 1})ᵀ`,
            rowNames: UNITS,
            columnNames: [`h(${t})`, `∂L/∂h(${t})`, `1 − h(${t})²`, `∂L/∂a(${t})`, `h(${t - 1})`],
            digits: 4,
            scale: 1,
            name: (i, j) => `${["h", "ofH", "slope", "ofA", "before"][j]}[${i + 1}]`,
          },
        ),
        h(
          "p",
          {},
          "Loss ",
          number(lossOf(now), "loss", 4),
          ". The term of this step has norm ",
          number(frobenius(gradients.terms[t - 1]), "termNorm", 4),
          "; the whole gradient has norm ",
          number(frobenius(sum), "norm", 4),
          ".",
          t === 1 && !given.value ? " The term of step 1 is zero because h(0) is zeros." : "",
        ),
      );
      figure.update();
    }
    root.append(
      equation(
        "L = − log o_{class}(T)",
        "∂L/∂a(t) = (1 − h(t)²) ⊙ ∂L/∂h(t),   ∂L/∂h(t−1) = W_{hh}ᵀ ∂L/∂a(t)",
        "∂L/∂W_{hh} = Σ_{t} ∂L/∂a(t) h(t−1)ᵀ",
      ),
      row(length, label, given),
      x.element,
      terms,
      position.element,
      work,
      legend(["‖∂L/∂h(t)‖, the gradient at the state", "norm of the term of step t"]),
      figure.element,
      h("details", {}, h("summary", {}, "The weights"), sliders.element),
    );
    draw();
  },
};
