// C2: a convolution is a product with a banded Toeplitz matrix: linear, and a shift of its input shifts its output.

import type { Section } from "../page";
import { add, convolutionMatrix, convolve, largest, product, scale, subtract } from "../math/convolution";
import { maxOfThree } from "../math/convolution-pooling";
import { choice, row, slider } from "../ui/controls";
import { h } from "../ui/dom";
import { matrix } from "../ui/matrix";
import { number } from "../ui/numbers";
import { numbersTable } from "../ui/stems";
import { signalEditor } from "../ui/signal";
import { kernelWithPresets } from "./presets";
import { MODES } from "./kernel";

type Operation = "convolution" | "stride" | "bias" | "relu" | "max";

const OPERATIONS: Record<Operation, string> = {
  convolution: "convolution",
  stride: "convolution with stride 2",
  bias: "convolution with a bias of 0.5",
  relu: "ReLU",
  max: "max pooling over 3 steps, stride 1",
};
const BIAS = 0.5;
const F1 = [0, 1, 0.6, 0, -0.8, 0, 0.4, 0];
const F2 = [0.4, 0, -1, 0, 0, 1.2, 0, 0];

export const linear: Section = {
  id: "linear",
  rows: ["C2"],
  title: "Is convolution a linear operation?",
  statement:
    "Yes. It is a product with a banded Toeplitz matrix, in which every row has the same weights, one step further to the right. So conv(a f₁ + b f₂) = a conv(f₁) + b conv(f₂), and a shift of the input shifts the output.",
  task: "change a, b and both signals: the difference stays 0. Then choose another operation and see which of the two properties it loses.",
  render(root) {
    let op: Operation = "convolution";
    const g = kernelWithPresets("g", "asymmetric", () => draw(), 5);
    const editor = (name: string, values: number[]) =>
      signalEditor({ label: `signal ${name}`, values, min: -2, max: 2, name: (i) => `${name}[${i}]` }, () => draw());
    const [f1, f2] = [editor("f₁", F1), editor("f₂", F2)];
    const operation = choice("operation F", OPERATIONS, op, (value) => {
      op = value;
      draw();
    });
    const mode = choice("outputs of the convolution", MODES, "same", () => draw());
    const a = slider({ label: "factor a of f₁", min: -2, max: 2, step: 0.1, value: 1.5 }, () => draw());
    const b = slider({ label: "factor b of f₂", min: -2, max: 2, step: 0.1, value: -1 }, () => draw());
    const shift = slider({ label: "shift of f₁, in steps", min: 1, max: 4, step: 1, value: 1 }, () => draw());
    const matrixView = h("div");
    const [sums, shifts] = [h("div"), h("div")];
    const [isLinear, isShifted] = [1, 2].map(() => h("div", { "aria-live": "polite" }));

    const stride = () => (op === "stride" ? 2 : 1);
    const every = <T>(values: readonly T[]) => values.filter((_, t) => t % stride() === 0);
    const apply = (f: readonly number[]): number[] => {
      if (op === "relu") return f.map((value) => Math.max(0, value));
      if (op === "max") return maxOfThree(f);
      const outputs = every(convolve(f, g.editor.values, mode.value));
      return op === "bias" ? outputs.map((value) => value + BIAS) : outputs;
    };

    function draw() {
      matrixView.replaceChildren(...asMatrix());
      linearity();
      equivariance();
    }

    function asMatrix(): Node[] {
      if (op === "relu" || op === "max") {
        return [h("p", {}, `${OPERATIONS[op]} has no such matrix: which values pass depends on the signal.`)];
      }
      const band = every(convolutionMatrix(g.editor.values, f1.values.length, mode.value));
      const column = (values: readonly number[], name: string, title: string) =>
        matrix(
          values.map((value) => [value]),
          { caption: title, name: (i) => `${name}[${i}]`, scale: 2 },
        );
      const outputs = product(band, f1.values);
      return [
        h(
          "div",
          { class: "product" },
          matrix(band, {
            caption: `T, the matrix of g: ${band.length} × ${f1.values.length}`,
            name: (i, j) => `T[${i}][${j}]`,
            scale: 2,
            digits: 1,
          }),
          h("span", { class: "sign" }, "·"),
          column(f1.values, "f1", "f₁"),
          ...(op === "bias" ? [h("span", { class: "sign" }, `+ ${BIAS}`)] : []),
          h("span", { class: "sign" }, "="),
          column(op === "bias" ? outputs.map((value) => value + BIAS) : outputs, "Tf", "F(f₁)"),
        ),
      ];
    }

    function linearity() {
      const left = apply(add(scale(a.value, f1.values), scale(b.value, f2.values)));
      const right = add(scale(a.value, apply(f1.values)), scale(b.value, apply(f2.values)));
      const gap = largest(subtract(left, right));
      sums.replaceChildren(
        steps(
          [
            ["F(a f₁ + b f₂)", left, "left"],
            ["a F(f₁) + b F(f₂)", right, "right"],
            ["difference", subtract(left, right), "gap"],
          ],
          "The operation on the sum, and the sum of the operations, step by step",
        ),
      );
      isLinear.replaceChildren(
        verdict(
          gap < 1e-12,
          "Linear for these signals and factors: ",
          "Not linear: ",
          ["the largest difference is ", number(gap, "linearity")],
          endOf(
            gap,
            op === "bias" ? "The bias is added once above and a + b times below: such a layer is affine." : "",
          ),
        ),
      );
    }

    function equivariance() {
      const before = apply(f1.values);
      const after = apply([...Array<number>(shift.value).fill(0), ...f1.values]);
      const moved = shift.value / stride();
      const by = Math.floor(moved);
      const compared = before.map((value, t) => (after[t + by] ?? 0) - value);
      const gap = largest(compared);
      shifts.replaceChildren(
        steps(
          [
            ["F(f₁)", before, "before"],
            ["F(f₁ shifted)", before.map((_, t) => after[t + by] ?? 0), "after"],
            ["difference", compared, "moved"],
          ],
          `The output of f₁, and that of f₁ ${shift.value} step${shift.value > 1 ? "s" : ""} later, from its step ${by}`,
        ),
      );
      isShifted.replaceChildren(
        verdict(
          gap < 1e-12,
          `The output is the same, ${by} step${by === 1 ? "" : "s"} later: `,
          "The output is another one: ",
          ["the largest difference is ", number(gap, "equivariance")],
          endOf(
            gap,
            stride() === 1 ? "" : `With stride 2, a shift of ${shift.value} moves the output by ${moved} steps.`,
          ),
        ),
      );
    }

    root.append(
      row(operation, mode, g.choice, g.size),
      h("div", { class: "columns" }, f1.element, f2.element, g.editor.element),
      h("h3", {}, "The convolution as a matrix"),
      matrixView,
      h("h3", {}, "Linear?"),
      row(a, b),
      sums,
      isLinear,
      h("h3", {}, "Does a shift of the input shift the output?"),
      row(shift),
      shifts,
      isShifted,
    );
    draw();
  },
};

const steps = (lines: [label: string, values: number[], name: string][], caption: string): HTMLElement => {
  const table = numbersTable(
    caption,
    lines.map(([label, values, name]) => ({ label, values, name: (i) => `${name}[${i}]` })),
  );
  table.setAttribute("open", "");
  return table;
};

const endOf = (gap: number, more: string) => `${gap > 0 && gap < 1e-12 ? ", from rounding" : ""}. ${more}`;

function verdict(good: boolean, yes: string, no: string, why: (string | Node)[], end: string): HTMLElement {
  return h("p", { class: `verdict ${good ? "good" : "bad"}` }, h("strong", {}, good ? yes : no), ...why, end);
}
