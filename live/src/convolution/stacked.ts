// C5: blocks on top of each other, and the steps that an output reads.

import type { Section } from "../page";
import { convolution, fields, lengths, pathsToOutput, poolingLayer, sizeOf } from "../math/convolution-field";
import { row, slider, stepper, toggle } from "../ui/controls";
import { h, scrolling } from "../ui/dom";
import { number } from "../ui/numbers";
import { Plot, plot } from "../ui/plot";
import { numbersTable } from "../ui/stems";
import { network } from "./network";

const INPUT = 32;

export const stacked: Section = {
  id: "stacked",
  rows: ["C5"],
  title: "Blocks on top of each other",
  statement:
    "Each block reads the output of the one below, so a deeper output reads more steps of the input: its receptive field grows with every layer, and faster behind a stride or pooling.",
  task: "choose an output, and add and remove blocks. How many blocks with kernels of 5 read at least 15 steps? How many with kernels of 3 and pooling?",
  render(root) {
    const depth = slider({ label: "blocks", min: 1, max: 4, step: 1, value: 3 }, () => draw());
    const size = slider({ label: "kernel size (odd)", min: 1, max: 7, step: 2, value: 3 }, () => draw());
    const stride = slider({ label: "stride of each convolution", min: 1, max: 2, step: 1, value: 1 }, () => draw());
    const pool = toggle("max pooling of 2 in each block", false, () => draw());
    const output = stepper("output step", INPUT - 1, 15, () => draw());
    const layers = () =>
      Array.from({ length: depth.value }, (_, i) => [
        convolution(`convolution ${i + 1}`, size.value, { stride: stride.value }),
        ...(pool.value ? [poolingLayer(`pooling ${i + 1}`, 2)] : []),
      ]).flat();
    const drawing = network(
      () => {
        const parts = layers();
        return {
          input: INPUT,
          layers: parts,
          paths: pathsToOutput(INPUT, parts, output.value),
          chosen: [parts.length, output.value],
          description: `A network of ${parts.length} layers over ${INPUT} steps; what output ${output.value} reads is filled`,
        };
      },
      (step) => {
        output.value = step;
        draw();
      },
    );
    const bars = plot(
      "Number of paths from each input step to the chosen output: the middle of the field counts most",
      () => ({
        height: 180,
        x: { label: "input step", domain: [-0.5, INPUT - 0.5] },
        y: { label: "paths", grid: true },
        marks: [
          Plot.rectY(pathsToOutput(INPUT, layers(), output.value)[0], {
            x1: (_, i) => i - 0.4,
            x2: (_, i) => i + 0.4,
            y: (paths) => paths,
            fill: "var(--positive)",
          }),
          Plot.ruleY([0]),
        ],
      }),
    );
    const text = h("div", { "aria-live": "polite" });
    const table = h("div");
    const numbers = h("div");

    function draw() {
      const parts = layers();
      const counts = lengths(INPUT, parts);
      output.last = Math.max(0, counts.at(-1)! - 1);
      const all = fields(parts);
      const field = all.at(-1)!;
      const paths = pathsToOutput(INPUT, parts, output.value)[0];
      const at = output.value * field.stride;
      text.replaceChildren(
        counts.at(-1)
          ? h(
              "p",
              { class: "verdict" },
              "Receptive field: ",
              h("strong", {}, number(sizeOf(field), "size", 0), " steps"),
              `. Output ${output.value} reads the steps from `,
              number(at + field.first, "from", 0),
              " to ",
              number(at + field.last, "to", 0),
              "; the window of the next output starts ",
              number(field.stride, "stride", 0),
              field.stride === 1 ? " step later. " : " steps later. ",
              "It reads ",
              number(paths.filter((count) => count > 0).length, "read", 0),
              " steps of the signal.",
            )
          : h(
              "p",
              { class: "verdict bad" },
              `Nothing is left of ${INPUT} steps: choose fewer blocks or smaller strides.`,
            ),
      );
      table.replaceChildren(
        scrolling(
          "After each layer",
          h(
            "table",
            {},
            h("caption", {}, "After each layer"),
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                ...["layer", "receptive field", "step between outputs", "outputs"].map((title) =>
                  h("th", { scope: "col" }, title),
                ),
              ),
            ),
            h(
              "tbody",
              {},
              ...parts.map(({ name }, i) =>
                h(
                  "tr",
                  {},
                  h("th", { scope: "row" }, name),
                  h("td", {}, number(sizeOf(all[i + 1]), `layerSize[${i}]`, 0)),
                  h("td", {}, number(all[i + 1].stride, `layerStride[${i}]`, 0)),
                  h("td", {}, number(counts[i + 1], `layerLength[${i}]`, 0)),
                ),
              ),
            ),
          ),
        ),
      );
      numbers.replaceChildren(
        numbersTable("Paths as numbers", [{ label: "paths", values: paths, name: (i) => `paths[${i}]`, digits: 0 }]),
      );
      drawing.update();
      bars.update();
    }
    root.append(row(depth, size, stride, pool), row(output), drawing.element, text, table, bars.element, numbers);
    draw();
  },
};
