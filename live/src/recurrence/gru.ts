// R8 and R10: the GRU of Kiros et al. (2015), which the lecture has, beside that of PyTorch.

import type { Section } from "../page";
import { gru, gruBackward, type GruForm, type GruStep, type GruWeights } from "../math/recurrence/gru";
import { type Matrix, norm, scaled, type Vector, zeros } from "../math/recurrence/linear";
import { atLastStep } from "../math/recurrence/rnn";
import { choice, row, slider, stepper, toggle } from "../ui/controls";
import { h } from "../ui/dom";
import { equation } from "../ui/equation";
import { logarithmicAxis, stepAxis } from "../ui/axes";
import { curves, legend } from "../ui/lines";
import { matrix } from "../ui/matrix";
import { number } from "../ui/numbers";
import { Plot, plot } from "../ui/plot";
import { signalEditor } from "../ui/signal";
import { weights } from "../ui/weights";
import { parameterTable } from "./parameter_count";

const SIGNAL = [1, 0, -1, 0, 1, 0];
const UNITS = [1, 2];
const ROWS = ["r", "z", "n"].flatMap((gate) => UNITS.map((unit) => `${gate}, unit ${unit}`));
/** Rows r, z, n of two units each; columns W (of x), U (of h, two), C (of s). */
const VALUES: Matrix = [
  [1, 0.5, -1, 0.5],
  [-1, 1, 0.5, 0],
  [1.5, 0.5, 0, -0.5],
  [0.5, -0.5, 1, 0.5],
  [1, 1.2, -0.8, 0.5],
  [-1, 0.6, 1, 0.5],
];

export const gruSection: Section = {
  id: "gru",
  rows: ["R8", "R10"],
  title: "GRU: two forms that share a name",
  statement:
    "A GRU has a reset gate r and an update gate z, and no separate cell. In the form of Kiros et al. (2015), r acts before the product with U, z is the weight of the new value, and a context s is added to every gate. In PyTorch's form r acts after the product, and z is the weight of the old value. The same weights give different states.",
  task: "make both sides equal: give the right one the reset gate of the left one and the context, and negate its weights of z. Why does that turn one meaning of z into the other?",
  render(root) {
    const x = signalEditor({ label: "input x(t)", values: SIGNAL, min: -2, max: 2, name: (i) => `x(${i + 1})` }, () =>
      draw(),
    );
    const sliders = weights(
      {
        label: "weights of both sides: W of x(t), U of h(t−1), C of s",
        name: (i, j) => `${["W", "U1", "U2", "C"][j]} of ${ROWS[i]}`,
        values: VALUES,
        min: -3,
        max: 3,
        step: 0.1,
        rowNames: ROWS,
        columnNames: ["W", "U, h_{1}", "U, h_{2}", "C"],
      },
      () => draw(),
    );
    const context = slider({ label: "context s", min: -2, max: 2, step: 0.1, value: 1 }, () => draw());
    const position = stepper("step t", SIGNAL.length, 4, () => draw(), 1);
    const left = form("left", { reset: "before", update: "new" }, true, () => draw());
    const right = form("right", { reset: "after", update: "old" }, false, () => draw());
    const negate = toggle("negate the weights of z", false, () => draw());
    const difference = h("div", { "aria-live": "polite" });
    const equations = [h("div", {}), h("div", {})];
    const tables = [h("div", {}), h("div", {})];
    const time = SIGNAL.map((_, t) => t + 1);
    const run = ({ form: chosen, usesContext }: FormControls, negated: boolean): Side => {
      const values = sliders.value.map((line, i) => (negated && (i === 2 || i === 3) ? scaled(line, -1) : line));
      const w: GruWeights = {
        ih: values.map(([ofX]) => [ofX]),
        hh: values.map(([, ofFirst, ofSecond]) => [ofFirst, ofSecond]),
        bi: zeros(6),
        bh: zeros(6),
      };
      const added = values.map(([, , , c]) => (usesContext ? c * context.value : 0));
      const tokens = x.values.map((value) => [value]);
      const steps = gru(w, chosen, tokens, [0, 0], added);
      return { steps, ofH: gruBackward(w, chosen, steps, [0, 0], atLastStep(steps.length, [1, 1])).h };
    };
    const both = () => [run(left, false), run(right, negate.value)];
    const figure = plot("The state of unit 1, on both sides", () => {
      const [leftSide, rightSide] = both();
      return {
        x: stepAxis("step t", 1, SIGNAL.length),
        y: { label: "h(t), unit 1", grid: true },
        marks: [
          Plot.ruleY([0]),
          Plot.ruleX([position.value], { stroke: "var(--line)", strokeWidth: 12 }),
          ...curves([
            { name: "left", values: leftSide.steps.map(({ h: state }) => state[0]), x: time },
            { name: "right", values: rightSide.steps.map(({ h: state }) => state[0]), x: time },
          ]),
        ],
      };
    });
    const gradients = plot("The gradient of L, the sum of h(T), at every state, on a logarithmic axis", () => ({
      x: stepAxis("step t", 1, SIGNAL.length),
      y: logarithmicAxis("‖∂L/∂h(t)‖"),
      marks: [
        Plot.ruleX([position.value], { stroke: "var(--line)", strokeWidth: 12 }),
        ...curves(
          both().map(({ ofH }, side) => ({ name: ["left", "right"][side], values: ofH.map(norm), x: time })),
          { logarithmic: true },
        ),
      ],
    }));
    function draw() {
      const sides = both();
      const largest = Math.max(
        ...sides[0].steps.flatMap(({ h: state }, t) =>
          state.map((value, k) => Math.abs(value - sides[1].steps[t].h[k])),
        ),
      );
      sides.forEach(({ steps, ofH }, side) => {
        equations[side].replaceChildren(equationsOf([left, right][side]));
        tables[side].replaceChildren(
          matrix(
            (["r", "z", "n", "h"] as const).flatMap((name) =>
              [0, 1].map((unit) => steps.map((step) => step[name][unit])),
            ),
            {
              caption: "Every gate and state",
              rowNames: ["r", "z", "n", "h"].flatMap((name) => UNITS.map((unit) => `${name}_{${unit}}`)),
              columnNames: time.map((t) => `${t}`),
              scale: 1.5,
              marked: (_, j) => j === position.value - 1,
              name: (i, j) => `${["left", "right"][side]}.${"rznh"[i >> 1]}[${j + 1}][${(i % 2) + 1}]`,
            },
          ),
          matrix(
            [0, 1].map((unit) => ofH.map((gradient) => gradient[unit])),
            {
              caption: "The gradient of L, the sum of h(T)",
              rowNames: UNITS.map((unit) => `∂L/∂h_{${unit}}`),
              columnNames: time.map((t) => `${t}`),
              scale: 1.5,
              marked: (_, j) => j === position.value - 1,
              name: (i, j) => `${["left", "right"][side]}.ofH[${j + 1}][${i + 1}]`,
            },
          ),
        );
      });
      difference.replaceChildren(
        h(
          "p",
          { class: `verdict ${largest < 1e-9 ? "good" : "bad"}` },
          largest < 1e-9 ? "Both sides compute the same states" : "The two forms compute different states",
          ": the largest difference of h is ",
          number(largest, "difference"),
          ".",
        ),
      );
      figure.update();
      gradients.update();
    }
    root.append(
      x.element,
      row(context),
      sliders.element,
      position.element,
      difference,
      h(
        "div",
        { class: "columns" },
        h("div", {}, h("h3", {}, "Left: starts as the form of Kiros et al."), left.element, equations[0], tables[0]),
        h(
          "div",
          {},
          h("h3", {}, "Right: starts as PyTorch's form, with zero biases"),
          right.element,
          row(negate),
          equations[1],
          tables[1],
        ),
      ),
      legend(["left side", "right side"]),
      figure.element,
      gradients.element,
      h("h3", {}, "Three times the parameters"),
      parameterTable("GRU"),
      h(
        "p",
        { class: "quiet" },
        'In throughtime, GRU(I, H) is PyTorch\'s form, and GRU(I, H, bias=False, reset_after=False, update="new", context_size=C) that of Kiros et al. (2015). Here too, layer.trace(x) returns every gate and state.',
      ),
    );
    draw();
  },
};

interface Side {
  steps: GruStep[];
  /** ∂L/∂h(t), with L the sum of the last state. */
  ofH: Vector[];
}

interface FormControls {
  element: HTMLElement;
  readonly form: GruForm;
  readonly usesContext: boolean;
}

/** Controls for the form of one side. */
function form(side: string, initial: GruForm, usesContext: boolean, changed: () => void): FormControls {
  const reset = choice<GruForm["reset"]>(
    `reset gate acts (${side})`,
    { before: "before the product", after: "after the product" },
    initial.reset,
    changed,
  );
  const update = choice<GruForm["update"]>(
    `z is the weight of (${side})`,
    { new: "the new value", old: "the old value" },
    initial.update,
    changed,
  );
  const context = toggle(`context (${side})`, usesContext, changed);
  return {
    element: row(reset, update, context),
    get form() {
      return { reset: reset.value, update: update.value };
    },
    get usesContext() {
      return context.value;
    },
  };
}

function equationsOf({ form: { reset, update }, usesContext }: FormControls): HTMLElement {
  const context = (name: string) => (usesContext ? ` + C${name} s` : "");
  return equation(
    `r = σ(W_{r} x + U_{r} h(t−1)${context("_{r}")})`,
    `z = σ(W_{z} x + U_{z} h(t−1)${context("_{z}")})`,
    `n = tanh(W x + ${reset === "before" ? "U (r ⊙ h(t−1))" : "r ⊙ (U h(t−1))"}${context("")})`,
    update === "new" ? "h(t) = (1 − z) ⊙ h(t−1) + z ⊙ n" : "h(t) = (1 − z) ⊙ n + z ⊙ h(t−1)",
  );
}
