// R7 and R10: an LSTM of one unit, every gate and state per step, and its two gradient paths.

import type { Section } from "../page";
import { dot, type Matrix } from "../math/recurrence/linear";
import { lstm, lstmBackward, type LstmStep, type LstmWeights } from "../math/recurrence/lstm";
import { atLastStep } from "../math/recurrence/rnn";
import { choice, row, stepper } from "../ui/controls";
import { h } from "../ui/dom";
import { equation } from "../ui/equation";
import { logarithmicAxis, stepAxis } from "../ui/axes";
import { curves, legend } from "../ui/lines";
import { matrix } from "../ui/matrix";
import { format, number } from "../ui/numbers";
import { Plot, plot } from "../ui/plot";
import { signalEditor } from "../ui/signal";
import { weights } from "../ui/weights";
import { parameterTable } from "./parameter_count";

/** Ones that repeat and a −1: every preset gives another cell state. */
const SIGNAL = [0, 1, 0, 1, 0, 0, -1, 0, 0, 1, 0, 0];
const GATES = ["i, input gate", "f, forget gate", "g, candidate", "o, output gate"];
const INITIAL = { h: [0], c: [0] };

/** Rows i, f, g, o; columns W (for x), U (for h) and the bias. */
const PRESETS = {
  typical: {
    text: "typical weights, forget bias 1",
    values: [
      [0.5, 0.5, 0],
      [0.25, 0.5, 1],
      [1, 1, 0],
      [0.5, 0.5, 0],
    ],
  },
  latch: {
    text: "latch: 1 sets c to 1, −1 clears it",
    // The input gate closes when h shows that c is set.
    values: [
      [12, -12, -7],
      [12, 0, 7],
      [3, 0, 0],
      [0, 0, 4],
    ],
  },
  remember: {
    text: "remember: add every input and keep the sum",
    values: [
      [0, 0, 8],
      [0, 0, 8],
      [1, 0, 0],
      [0, 0, 4],
    ],
  },
  forget: {
    text: "forget: add every input and halve the sum at every step",
    values: [
      [0, 0, 8],
      [0, 0, 0],
      [1, 0, 0],
      [0, 0, 4],
    ],
  },
  count: {
    text: "count: add 1 for every 1, ignore −1",
    values: [
      [12, 0, -7],
      [0, 0, 8],
      [0, 0, 6],
      [0, 0, 4],
    ],
  },
  plain: {
    text: "like a vanilla RNN: no memory in c",
    values: [
      [0, 0, 8],
      [0, 0, -8],
      [1, 0.8, 0],
      [0, 0, 8],
    ],
  },
};
type Preset = keyof typeof PRESETS;

const weightsOf = (values: Matrix): LstmWeights => ({
  ih: values.map(([w]) => [w]),
  hh: values.map(([, u]) => [u]),
  b: values.map(([, , b]) => b),
});

/** ∂h(t)/∂h(t−1) with c(t−1) held: the path that goes through h and every gate. */
function hop({ i: [i], f: [f], g: [g], o: [o], c: [c] }: LstmStep, before: number, u: readonly number[]): number {
  const ofC = dot([g * i * (1 - i), before * f * (1 - f), i * (1 - g * g)], u.slice(0, 3));
  return o * (1 - Math.tanh(c) ** 2) * ofC + Math.tanh(c) * o * (1 - o) * u[3];
}

/** Products of the factors of steps t + 1 … T, for every t. */
const backwards = (factors: readonly number[]): number[] => {
  const result = [1];
  for (let t = factors.length - 1; t > 0; t--) result.unshift(result[0] * factors[t]);
  return result;
};

export const lstmSection: Section = {
  id: "lstm",
  rows: ["R7", "R10"],
  title: "LSTM: gates, a cell, and two paths for the gradient",
  statement:
    "An LSTM adds a cell state c. The forget gate says how much of it is kept, the input gate how much of the candidate is added, the output gate how much of it is shown as h. From c(t) to c(t−1) the gradient is multiplied by the forget gate alone: with f near 1 it passes freely. The LSTM has four blocks of weights, and so four times the parameters of the RNN.",
  task: "choose what the LSTM does, and draw an input for it. Compare the two paths of the gradient for “remember” and “like a vanilla RNN”. Then close the forget gate with its bias.",
  render(root) {
    const preset = choice<Preset>(
      "what it does",
      Object.fromEntries(Object.entries(PRESETS).map(([name, { text }]) => [name, text])) as Record<Preset, string>,
      "typical",
      (name) => {
        sliders.value = PRESETS[name].values;
        draw();
      },
    );
    const sliders = weights(
      {
        label: "weights of the gates: of x(t), of h(t−1), and the bias",
        name: (i, j) => `${["W", "U", "b"][j]} of ${GATES[i]}`,
        values: PRESETS.typical.values,
        min: -12,
        max: 12,
        step: 0.25,
        rowNames: GATES,
        columnNames: ["W, of x", "U, of h", "b"],
      },
      () => draw(),
    );
    const x = signalEditor(
      { label: "input x(t)", values: SIGNAL, min: -1, max: 1, step: 0.1, name: (i) => `x(${i + 1})` },
      () => draw(),
    );
    const position = stepper("step t", SIGNAL.length, 2, () => draw(), 1);
    const trace = h("div", { "aria-live": "polite" });
    const time = SIGNAL.map((_, t) => t + 1);
    const run = () => {
      const w = weightsOf(sliders.value);
      const steps = lstm(
        w,
        x.values.map((value) => [value]),
        INITIAL,
      );
      const gradients = lstmBackward(w, steps, INITIAL, atLastStep(steps.length, [1]));
      const cells = backwards(steps.map(({ f }) => f[0]));
      const states = backwards(
        steps.map((step, t) =>
          hop(
            step,
            t ? steps[t - 1].c[0] : 0,
            w.hh.map(([u]) => u),
          ),
        ),
      );
      return { steps, gradients, cells, states };
    };
    const stateFigure = plot("Cell state and hidden state at every step", () => {
      const { steps } = run();
      return {
        x: stepAxis("step t", 1, SIGNAL.length),
        y: { label: "value", grid: true },
        marks: [
          Plot.ruleY([0]),
          Plot.ruleX([position.value], { stroke: "var(--line)", strokeWidth: 12 }),
          ...curves([
            { name: "c", values: steps.map(({ c }) => c[0]), x: time },
            { name: "h", values: steps.map(({ h: state }) => state[0]), x: time },
          ]),
        ],
      };
    });
    const paths = plot(
      "How much of the gradient of the last step is left at step t, by path; what is below 10⁻⁶ is drawn at the bottom",
      () => {
        const { cells, states } = run();
        return {
          x: stepAxis("step t", 1, SIGNAL.length),
          y: { ...logarithmicAxis("factor from step T back to t"), domain: [1e-6, 10], clamp: true },
          marks: [
            Plot.ruleY([1], { stroke: "var(--line)" }),
            ...curves(
              [
                { name: "c", values: cells, x: time },
                { name: "h", values: states.map((value) => Math.max(Math.abs(value), 1e-6)), x: time },
              ],
              { logarithmic: true },
            ),
          ],
        };
      },
    );
    function draw() {
      const { steps, gradients, cells, states } = run();
      const t = position.value;
      const now = steps[t - 1];
      const before = t > 1 ? steps[t - 2] : { h: INITIAL.h, c: INITIAL.c };
      const ofGates = (name: "i" | "f" | "g" | "o" | "c" | "h") => steps.map((step) => step[name][0]);
      const value = (list: readonly number[]) => format(list[0], 3);
      trace.replaceChildren(
        h(
          "div",
          { class: "equation" },
          h(
            "div",
            {},
            `c(${t}) = f ⊙ c(${t - 1}) + i ⊙ g = ${value(now.f)} · ${value(before.c)} + ${value(now.i)} · ${value(now.g)} = `,
            number(now.c[0], "c"),
          ),
          h(
            "div",
            {},
            `h(${t}) = o ⊙ tanh(c(${t})) = ${value(now.o)} · ${format(Math.tanh(now.c[0]), 3)} = `,
            number(now.h[0], "h"),
          ),
        ),
        matrix([x.values, ofGates("i"), ofGates("f"), ofGates("g"), ofGates("o"), ofGates("c"), ofGates("h")], {
          caption: "Every gate and state of every step; a gate near 1 is open, near 0 closed",
          rowNames: ["x(t)", ...GATES, "c(t), cell", "h(t), state"],
          columnNames: time.map((each) => `t = ${each}`),
          scale: 1.5,
          marked: (_, j) => j === t - 1,
          name: (i, j) => `${"xifgoch"[i]}[${j + 1}]`,
        }),
        h("h3", {}, "The gradient of L = h(T)"),
        matrix(
          [
            gradients.c.map(([each]) => each),
            gradients.along.map(([each]) => each),
            gradients.through.map(([each]) => each),
            gradients.h.map(([each]) => each),
          ],
          {
            caption: "∂L/∂c(t) is the sum of two parts: along c, f(t+1) ∂L/∂c(t+1), and through h(t)",
            rowNames: ["∂L/∂c(t)", "along c", "through h(t)", "∂L/∂h(t)"],
            columnNames: time.map((each) => `t = ${each}`),
            digits: 3,
            marked: (_, j) => j === t - 1,
            name: (i, j) => `${["ofC", "along", "through", "ofH"][i]}[${j + 1}]`,
          },
        ),
        h(
          "p",
          { class: "verdict" },
          `From step ${SIGNAL.length} back to step 1 the path through the cells alone leaves a factor of `,
          number(cells[0], "path.c"),
          ", the product of the forget gates; the path through h alone leaves ",
          number(Math.abs(states[0]), "path.h"),
          ".",
          sliders.value.every(([, u]) => u === 0)
            ? " (With U = 0 no gate reads h(t−1), so nothing flows through h.)"
            : "",
        ),
      );
      stateFigure.update();
      paths.update();
    }
    root.append(
      equation(
        "i, f, o = σ(W x(t) + U h(t−1) + b),   g = tanh(W x(t) + U h(t−1) + b)",
        "c(t) = f ⊙ c(t−1) + i ⊙ g,   h(t) = o ⊙ tanh(c(t))",
      ),
      row(preset),
      x.element,
      sliders.element,
      position.element,
      trace,
      legend(["through the cells alone: f(t+1) … f(T)", "through h alone: ∂h(t+1)/∂h(t) … ∂h(T)/∂h(T−1)"]),
      paths.element,
      legend(["c(t), cell state", "h(t), hidden state"]),
      stateFigure.element,
      h("h3", {}, "Four times the parameters"),
      parameterTable("LSTM"),
      h(
        "p",
        { class: "quiet" },
        "PyTorch's fused layer returns h at every step, and c of the last step alone. In throughtime, layer.trace(x) returns all rows of the first table in about 1.1 times the time of the plain call, and trace.gradients those of the second.",
      ),
    );
    draw();
  },
};
