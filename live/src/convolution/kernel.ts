// C1: convolution by its definition, step by step, beside the cross-correlation of deep-learning layers.

import type { Section } from "../page";
import { convolve, correlate } from "../math/convolution";
import { row, stepper, toggle } from "../ui/controls";
import { h } from "../ui/dom";
import { number } from "../ui/numbers";
import { matrix } from "../ui/matrix";
import { Plot, plot } from "../ui/plot";
import { signalEditor } from "../ui/signal";

const SIGNAL = [0, 0, 1, 1, 1, 0, 0, -1, 0, 0, 0.5, 0];
const KERNEL = [1, 0.5, -1];

export const kernel: Section = {
  id: "kernel",
  rows: ["C1"],
  title: "A kernel slides over a signal",
  statement:
    "A convolution reverses the kernel g and takes, at every step t, a weighted sum of the signal f around t: (f ∗ g)(t) = Σ g(j) · f(t − j). Layers of neural networks leave out the reversal: they compute the cross-correlation, Σ g(j) · f(t + j).",
  task: "draw another signal and another kernel, move t, and switch the reversal off. With which kernels does it change nothing?",
  render(root) {
    let reversed = true;
    const f = signalEditor({ label: "signal f", values: SIGNAL, min: -2, max: 2, name: (i) => `f[${i}]` }, () => draw());
    const g = signalEditor({ label: "kernel g", values: KERNEL, min: -2, max: 2, name: (i) => `g[${i}]` }, () => draw());
    const flip = toggle("reverse the kernel (convolution)", reversed, (value) => {
      reversed = value;
      draw();
    });
    const outputs = () => (reversed ? convolve : correlate)(f.values, g.values);
    const t = stepper("output step t", SIGNAL.length + KERNEL.length - 2, 4, () => draw());
    const work = h("div", { "aria-live": "polite" });
    const result = plot("Output at every step: full length, the signal is zero beyond its ends", () => ({
      x: { label: "output step t", interval: 1 },
      y: { label: reversed ? "(f ∗ g)(t)" : "cross-correlation", grid: true },
      marks: [
        Plot.ruleY([0]),
        Plot.ruleX(outputs(), { x: (_, i) => i, y: (d) => d, stroke: "var(--accent)", strokeWidth: 2 }),
        Plot.dot(outputs(), {
          x: (_, i) => i,
          y: (d) => d,
          r: 4,
          fill: (_, i) => (i === t.value ? "var(--negative)" : "var(--accent)"),
        }),
      ],
    }));
    function draw() {
      const used = reversed ? [...g.values].reverse() : g.values;
      const first = t.value - (used.length - 1);
      const window = used.map((_, k) => f.values[first + k] ?? 0);
      const sum = outputs()[t.value];
      work.replaceChildren(
        matrix([window, used, window.map((value, k) => value * used[k])], {
          caption: `Window of f at t = ${t.value}, the kernel as it is laid upon it, and their products`,
          rowNames: ["f", reversed ? "g reversed" : "g", "product"],
          columnNames: used.map((_, k) => `f[${first + k}]`),
          scale: 4,
        }),
        h("p", {}, reversed ? "(f ∗ g)" : "cross-correlation ", `(${t.value}) = `, number(sum, "output")),
      );
      result.update();
    }
    root.append(h("div", { class: "columns" }, f.element, g.element), row(flip, t), work, result.element);
    draw();
  },
};
