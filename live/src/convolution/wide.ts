// C6: kernels of different sizes side by side on one signal, their outputs concatenated.

import type { Section } from "../page";
import { borders, correlate } from "../math/convolution";
import { convolution, fields, sizeOf } from "../math/convolution-field";
import { choice, row, slider, stepper, toggle } from "../ui/controls";
import { h } from "../ui/dom";
import { matrix } from "../ui/matrix";
import { number } from "../ui/numbers";
import { Plot, plot } from "../ui/plot";
import { stepAxis } from "../ui/axes";
import { stems } from "../ui/stems";
import { signalWithPresets } from "./presets";

type Shape = "average" | "slope" | "peak";

const SHAPES: Record<Shape, string> = {
  average: "mean of the window",
  slope: "right half minus left half",
  peak: "middle minus mean",
};

const WEIGHTS: Record<Shape, (size: number) => number[]> = {
  average: (size) => Array(size).fill(1 / size),
  slope: (size) =>
    Array.from({ length: size }, (_, k) => Math.sign(2 * k - (size - 1)) / Math.max(1, Math.floor(size / 2))),
  peak: (size) => Array.from({ length: size }, (_, k) => Number(k === Math.floor((size - 1) / 2)) - 1 / size),
};

export const wide: Section = {
  id: "wide",
  rows: ["C6"],
  title: "Kernels of different sizes side by side",
  statement:
    "A wide convolution applies kernels of several sizes to the same input and concatenates their outputs: one channel for each kernel. At every step the next layer sees short and long patterns together.",
  task: "change the sizes and move t. Which channel reacts to a single step, and which one to the whole block?",
  render(root) {
    const f = signalWithPresets("f", "signal f", "noisy", () => draw());
    const sizes = [2, 3, 6].map((value, i) =>
      slider({ label: `size of kernel ${i + 1}`, min: 1, max: 9, step: 1, value }, () => draw()),
    );
    const shape = choice("what the kernels compute", SHAPES, "slope", () => draw());
    const relu = toggle("ReLU after each", false, () => draw());
    const t = stepper("step t", f.editor.values.length - 1, 5, () => draw());
    const kernels = () => sizes.map((size) => WEIGHTS[shape.value](size.value));
    const channels = () =>
      kernels().map((weights) =>
        correlate(f.editor.values, weights, "same").map((value) => (relu.value ? Math.max(0, value) : value)),
      );
    const windows = () =>
      sizes.map((size, i) => {
        const first = t.value - borders(size.value, "same", false)[0];
        return { kernel: `kernel ${i + 1}`, first, last: first + size.value - 1, y: -2.9 - 0.9 * i };
      });
    const input = plot(
      "The signal, and below it the steps that each kernel reads at step t (dashed line); those outside the signal are zeros",
      () => {
        const all = windows();
        const last = f.editor.values.length - 1;
        return {
          height: 290,
          x: {
            ...stepAxis("step of the signal", -4, last + 4, 0.5),
            ticks: f.editor.values.flatMap((_, i) => (i % 2 ? [] : [i])),
          },
          y: { label: "value", domain: [-2.4 - 0.9 * all.length, 2.2], ticks: [-2, -1, 0, 1, 2] },
          marks: [
            Plot.gridY([-2, -1, 0, 1, 2]),
            Plot.ruleX([t.value], { stroke: "currentColor", strokeDasharray: "2 3" }),
            Plot.ruleY([0]),
            ...stems(f.editor.values, {
              filled: (step) => all.some((window) => window.first <= step && step <= window.last),
            }),
            Plot.rect(all, {
              x1: (d) => d.first - 0.4,
              x2: (d) => d.last + 0.4,
              y1: (d) => d.y - 0.3,
              y2: (d) => d.y + 0.3,
              fill: "var(--positive)",
              fillOpacity: 0.3,
              stroke: "var(--positive)",
            }),
            Plot.text(all, { x: (d) => d.last + 0.6, y: "y", text: "kernel", textAnchor: "start" }),
          ],
        };
      },
    );
    const outputs = h("div");
    const text = h("div", { "aria-live": "polite" });

    function draw() {
      outputs.replaceChildren(
        matrix(channels(), {
          caption: "Outputs: three channels at every step, concatenated; column t is marked",
          rowNames: sizes.map((size, i) => `channel ${i + 1} (size ${size.value})`),
          columnNames: f.editor.values.map((_, i) => `${i}`),
          marked: (_, j) => j === t.value,
          name: (i, j) => `y[${i}][${j}]`,
        }),
      );
      const all = sizes.map((size, i) => fields([convolution(`kernel ${i + 1}`, size.value)]).at(-1)!);
      const first = Math.min(...all.map((field) => field.first));
      const last = Math.max(...all.map((field) => field.last));
      text.replaceChildren(
        h(
          "p",
          { class: "verdict" },
          "Receptive fields: ",
          ...all.flatMap((field, i) => [number(sizeOf(field), `kernelSize[${i}]`, 0), i < 2 ? ", " : " steps; "]),
          "of all together ",
          h("strong", {}, number(last - first + 1, "size", 0), " steps"),
          ". Weights: ",
          number(
            sizes.reduce((sum, size) => sum + size.value, 0),
            "weights",
            0,
          ),
          `; features for the next layer at step ${t.value}: `,
          ...channels().flatMap((values, i) => [number(values[t.value], `feature[${i}]`), i < 2 ? ", " : "."]),
        ),
      );
      input.update();
    }
    root.append(row(f.choice, ...sizes), row(shape, relu), f.editor.element, row(t), input.element, outputs, text);
    draw();
  },
};
