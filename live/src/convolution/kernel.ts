// C1: convolution by its definition, step by step, beside the cross-correlation of deep-learning layers.

import type { Section } from "../page";
import { borders, convolve, correlate, largest, subtract, type Mode } from "../math/convolution";
import { choice, row, stepper, toggle } from "../ui/controls";
import { h } from "../ui/dom";
import { equation } from "../ui/equation";
import { matrix } from "../ui/matrix";
import { number } from "../ui/numbers";
import { Plot, plot } from "../ui/plot";
import { stepAxis, valueAxis } from "../ui/axes";
import { numbersTable, stems } from "../ui/stems";
import { kernelWithPresets, signalWithPresets } from "./presets";

export const MODES: Record<Mode, string> = {
  same: "same: as many as the signal has",
  valid: "valid: windows inside the signal",
  full: "full: all windows that touch it",
  causal: "causal: no later step is read",
};

/** Index of f in the sum over j = 1, …, m: of the convolution and of the cross-correlation. */
const INDICES: Record<Mode, readonly [string, string]> = {
  same: ["t − j + ⌈m/2⌉", "t + j − ⌈m/2⌉"],
  valid: ["t − j + m", "t + j − 1"],
  full: ["t − j + 1", "t + j − m"],
  causal: ["t − j + 1", "t + j − m"],
};

export const kernel: Section = {
  id: "kernel",
  rows: ["C1"],
  title: "A kernel slides over a signal",
  statement:
    "A convolution reverses the kernel g of m weights and takes, at every step t, a weighted sum of the signal f around t. Layers of neural networks leave out the reversal: they compute the cross-correlation. Their kernels are learned, so nothing is lost.",
  task: "draw another signal and another kernel, move t, and switch the reversal off. With which kernels does it change nothing? Then choose the single spike: what do you read in the output?",
  render(root) {
    const f = signalWithPresets("f", "signal f", "pulse", () => draw());
    const g = kernelWithPresets("g", "asymmetric", () => draw());
    const mode = choice("outputs", MODES, "same", () => draw());
    const flip = toggle("reverse the kernel (convolution)", true, () => draw());
    const t = stepper("output step t", f.editor.values.length - 1, 4, () => draw());
    const formula = h("div");
    const products = h("div");
    const sum = h("div", { "aria-live": "polite" });
    const numbers = h("div");

    const operation = () => (flip.value ? convolve : correlate);
    const laid = () => (flip.value ? [...g.editor.values].reverse() : g.editor.values);
    const first = () => t.value - borders(g.editor.values.length, mode.value, flip.value)[0];
    const name = () => (flip.value ? "(f ∗ g)(t)" : "cross-correlation");

    const input = plot(
      "The signal (circles) and the kernel as it is laid upon it at step t (squares, in the grey window)",
      () => {
        const weights = laid();
        const [low, high] = [Math.min(0, first()), Math.max(f.editor.values.length - 1, first() + weights.length - 1)];
        return {
          x: stepAxis("step of the signal", low, high, 0.5),
          y: { label: "value", grid: true, domain: [-2.2, 2.2] },
          marks: [
            Plot.rectX([first()], {
              x1: (d) => d - 0.5,
              x2: (d) => d - 0.5 + weights.length,
              fill: "currentColor",
              fillOpacity: 0.1,
            }),
            Plot.ruleY([0]),
            ...stems(f.editor.values, { dx: -3 }),
            ...stems(weights, { first: first(), colour: "var(--negative)", symbol: "square", dx: 3 }),
          ],
        };
      },
    );
    const result = plot("The output at every step; the step t is filled", () => {
      const outputs = operation()(f.editor.values, g.editor.values, mode.value);
      return {
        x: stepAxis("output step t", 0, outputs.length - 1, 0.5),
        y: valueAxis(name()),
        marks: [Plot.ruleY([0]), ...stems(outputs, { filled: (step) => step === t.value })],
      };
    });

    function draw() {
      const outputs = operation()(f.editor.values, g.editor.values, mode.value);
      t.last = outputs.length - 1;
      const [ofConvolution, ofCorrelation] = INDICES[mode.value];
      formula.replaceChildren(
        equation(
          `convolution: (f ∗ g)(t) = Σ_{j} g(j) · f(${ofConvolution})`,
          `cross-correlation: Σ_{j} g(j) · f(${ofCorrelation}),   j = 1, …, m`,
        ),
      );
      const weights = laid();
      const window = weights.map((_, k) => f.editor.values[first() + k] ?? 0);
      products.replaceChildren(
        matrix([window, weights, window.map((value, k) => value * weights[k])], {
          caption: `At t = ${t.value}: the window of f, the kernel as it is laid upon it, and their products`,
          rowNames: ["f", flip.value ? "g reversed" : "g", "product"],
          columnNames: weights.map((_, k) => `f[${first() + k}]`),
          scale: 4,
        }),
      );
      sum.replaceChildren(
        h(
          "p",
          {},
          `Sum of the products: ${flip.value ? "(f ∗ g)" : "cross-correlation "}(${t.value}) = `,
          number(outputs[t.value], "output"),
        ),
        comparison(f.editor.values, g.editor.values, mode.value),
      );
      numbers.replaceChildren(
        numbersTable("Outputs as numbers", [{ label: name(), values: outputs, name: (i) => `y[${i}]` }]),
      );
      input.update();
      result.update();
    }
    root.append(
      formula,
      row(f.choice, g.choice, g.size),
      h("div", { class: "columns" }, f.editor.element, g.editor.element),
      row(mode, flip, t),
      input.element,
      products,
      sum,
      result.element,
      numbers,
    );
    draw();
  },
};

function comparison(f: readonly number[], g: readonly number[], mode: Mode): HTMLElement {
  const difference = largest(subtract(convolve(f, g, mode), correlate(f, g, mode)));
  const same = difference < 1e-12;
  return h(
    "p",
    { class: `verdict ${same ? "good" : ""}` },
    same ? "The reversal changes no output" : "The reversal changes the output",
    reason(g, mode, same),
    ": the largest difference between convolution and cross-correlation is ",
    number(difference, "difference"),
    ".",
  );
}

function reason(g: readonly number[], mode: Mode, same: boolean): string {
  const mirrored = (sign: number) => g.every((weight, j) => Math.abs(weight - sign * g[g.length - 1 - j]) < 1e-12);
  if (mirrored(1)) {
    return same
      ? ", because this kernel is symmetric"
      : `: with an even size and mode ${mode}, it moves it by one step`;
  }
  if (same) return " for this signal";
  return mirrored(-1) && (g.length % 2 || mode !== "same") ? ": this kernel is antisymmetric, so the sign turns" : "";
}
