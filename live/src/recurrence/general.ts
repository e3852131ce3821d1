// R1: the general form, with a choice of f and g.

import type { Section } from "../page";
import { READOUTS, states, TRANSITIONS } from "../math/recurrence/general";
import { choice, row, slider, stepper } from "../ui/controls";
import { h } from "../ui/dom";
import { mathematics } from "../ui/equation";
import { stepAxis } from "../ui/axes";
import { curves, legend } from "../ui/lines";
import { matrix } from "../ui/matrix";
import { number } from "../ui/numbers";
import { Plot, plot } from "../ui/plot";
import { signalEditor } from "../ui/signal";

const SIGNAL = [0, 1, 1, 0, -1, 0, 1, 0, 0, 1];

const texts = <T extends string>(functions: Record<T, { equation: string }>): Record<T, string> =>
  Object.fromEntries(
    Object.entries<{ equation: string }>(functions).map(([name, each]) => [name, each.equation]),
  ) as Record<T, string>;

export const general: Section = {
  id: "general",
  rows: ["R1"],
  title: "The general form",
  statement:
    "A recurrent network reads a sequence token by token and keeps a state. The same two functions are used at every step: h(t) = f(h(t−1), x(t)) makes the new state, and o(t) = g(h(t)) reads the output from it.",
  task: "choose f and g, draw the input, and step through it. Which f forgets an input after a few steps, and which ones never forget it?",
  render(root) {
    const x = signalEditor({ label: "input x(t)", values: SIGNAL, min: -2, max: 2, name: (i) => `x(${i + 1})` }, () =>
      draw(),
    );
    const f = choice("f(h, x), the next state", texts(TRANSITIONS), "average", () => draw());
    const g = choice("g(h), the output", texts(READOUTS), "square", () => draw());
    const read = choice<"new" | "old">("g reads", { new: "h(t)", old: "h(t−1), the previous state" }, "new", () =>
      draw(),
    );
    const initial = slider({ label: "initial state h(0)", min: -2, max: 2, step: 0.1, value: 0 }, () => draw());
    const position = stepper("step t", SIGNAL.length, 3, () => draw(), 1);
    const work = h("div", { "aria-live": "polite" });
    const computed = () => {
      const all = states(TRANSITIONS[f.value].of, x.values, initial.value);
      const source = read.value === "new" ? all.slice(1) : all.slice(0, -1);
      return { all, output: source.map(READOUTS[g.value].of) };
    };
    const time = SIGNAL.map((_, t) => t + 1);
    const figure = plot("Input, state and output at every step", () => {
      const { all, output } = computed();
      return {
        x: stepAxis("step t", 1, SIGNAL.length),
        y: { label: "value", grid: true },
        marks: [
          Plot.ruleY([0]),
          Plot.ruleX([position.value], { stroke: "var(--line)", strokeWidth: 12 }),
          ...curves([
            { name: "x", values: x.values, x: time },
            { name: "h", values: all.slice(1), x: time },
            { name: "o", values: output, x: time },
          ]),
        ],
      };
    });
    function draw() {
      const { all, output } = computed();
      const t = position.value;
      const source = read.value === "new" ? `h(${t})` : `h(${t - 1})`;
      work.replaceChildren(
        h(
          "p",
          { class: "equation" },
          `h(${t}) = f(h(${t - 1}), x(${t})) = f(`,
          number(all[t - 1]),
          ", ",
          number(x.values[t - 1]),
          ") = ",
          number(all[t], "state"),
          h("br"),
          ...mathematics(`o(${t}) = g(${source}) = `),
          number(output[t - 1], "output"),
        ),
        matrix([x.values, all.slice(1), output], {
          caption: `All steps; step ${t} is framed`,
          rowNames: ["x(t)", "h(t)", "o(t)"],
          columnNames: time.map((each) => `t = ${each}`),
          scale: 3,
          marked: (_, j) => j === t - 1,
          name: (i, j) => `${"xho"[i]}[${j + 1}]`,
        }),
      );
      figure.update();
    }
    root.append(
      x.element,
      row(f, g, read, initial),
      position.element,
      work,
      legend(["x(t), input", "h(t), state", "o(t), output"]),
      figure.element,
    );
    draw();
  },
};
