// C3: pooling over windows and over the whole signal: which steps count, and what a shift changes.

import type { Section } from "../page";
import { pool, poolAll, rotate } from "../math/convolution-pooling";
import { choice, row, slider } from "../ui/controls";
import { h } from "../ui/dom";
import { number } from "../ui/numbers";
import { Plot, plot } from "../ui/plot";
import { stepAxis } from "../ui/axes";
import { numbersTable, stems } from "../ui/stems";
import { signalWithPresets } from "./presets";

export const pooling: Section = {
  id: "pooling",
  rows: ["C3"],
  title: "Pooling",
  statement:
    "Pooling computes one value per window: the largest or the mean. It shortens the sequence and makes the result depend less on the exact position. Over the whole sequence it makes one vector of a sequence of any length.",
  task: "see which steps are chosen, then shift the signal by one step. Which outputs change with windows of 3, and which over the whole sequence?",
  render(root) {
    const f = signalWithPresets("f", "signal f", "noisy", () => draw());
    const kind = choice("keep", { max: "the largest value", mean: "the mean" }, "max", () => draw());
    const size = slider({ label: "window, in steps", min: 1, max: 6, step: 1, value: 3 }, () => draw());
    const stride = slider({ label: "stride, in steps", min: 1, max: 6, step: 1, value: 3 }, () => draw());
    const shift = slider({ label: "shift, in steps", min: 0, max: 11, step: 1, value: 1 }, () => draw());
    const shifted = () => rotate(f.editor.values, shift.value);
    const windows = (values: readonly number[]) => pool(values, kind.value, size.value, stride.value);
    const outputs = h("div", { "aria-live": "polite" });
    const changes = h("div", { "aria-live": "polite" });

    const figure = (caption: string, values: () => number[]) =>
      plot(caption, () => {
        const parts = windows(values());
        const used = (t: number) =>
          parts.some(({ first, last, winner }) => (kind.value === "max" ? winner === t : first <= t && t <= last));
        return {
          height: 190,
          x: stepAxis("step", 0, values().length - 1, 0.5),
          y: { label: "value", grid: true, domain: [-2.2, 2.2] },
          marks: [
            Plot.rect(parts, {
              x1: (d) => d.first - 0.42,
              x2: (d) => d.last + 0.42,
              y1: -2.2,
              y2: 2.2,
              fill: "currentColor",
              fillOpacity: 0.06,
              stroke: "currentColor",
              strokeOpacity: 0.35,
            }),
            Plot.ruleY([0]),
            Plot.ruleY(parts, {
              x1: (d) => d.first - 0.42,
              x2: (d) => d.last + 0.42,
              y: "value",
              stroke: "var(--negative)",
              strokeWidth: 2,
              strokeDasharray: "4 3",
            }),
            ...stems(values(), { filled: used }),
          ],
        };
      });
    const original = figure(
      "Windows (boxes), their outputs (dashed) and the steps that the outputs come from (filled)",
      () => f.editor.values,
    );
    const moved = figure("The same after the shift; what leaves at the end comes back at the beginning", shifted);

    function draw() {
      const [before, after] = [windows(f.editor.values), windows(shifted())];
      const [all, allMoved] = [poolAll(f.editor.values, kind.value), poolAll(shifted(), kind.value)];
      const changed = before.filter(({ value }, i) => Math.abs(value - after[i].value) > 1e-12).length;
      const stepsUsed = new Set(before.flatMap(({ winner }) => (winner < 0 ? [] : [winner])));
      outputs.replaceChildren(
        h(
          "p",
          {},
          `${f.editor.values.length} steps in, `,
          number(before.length, "count", 0),
          " out. ",
          ...(kind.value === "max"
            ? [
                "Chosen steps: ",
                number(stepsUsed.size, "winners", 0),
                ` (${[...stepsUsed].join(", ")}); the others get no gradient.`,
              ]
            : [`Every step counts 1/${size.value} in each of its windows.`]),
        ),
        numbersTable("Outputs as numbers", [
          { label: "output", values: before.map(({ value }) => value), name: (i) => `y[${i}]` },
          { label: "after the shift", values: after.map(({ value }) => value), name: (i) => `shifted[${i}]` },
        ]),
      );
      changes.replaceChildren(
        h(
          "p",
          { class: `verdict ${changed ? "" : "good"}` },
          "Windows: ",
          number(changed, "changed", 0),
          ` of ${before.length} outputs change. Whole sequence: ${kind.value === "max" ? "the largest value" : "the mean"} is `,
          number(all.value, "whole"),
          " before and ",
          number(allMoved.value, "wholeShifted"),
          " after: the position does not matter.",
        ),
      );
      original.update();
      moved.update();
    }
    root.append(
      row(f.choice, kind, size, stride),
      f.editor.element,
      original.element,
      outputs,
      row(shift),
      moved.element,
      changes,
    );
    draw();
  },
};
