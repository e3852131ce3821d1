// C4: one block part by part, and what padding does to its batch statistics.

import type { Section } from "../page";
import {
  block as after,
  convolved,
  normalize,
  padded,
  statistics,
  type Batch,
  type Statistics,
} from "../math/convolution-block";
import { largest, subtract } from "../math/convolution";
import { button, choice, row, slider, toggle } from "../ui/controls";
import { h, scrolling } from "../ui/dom";
import { number, percent } from "../ui/numbers";
import { Plot, plot, type Figure } from "../ui/plot";
import { stepAxis, valueAxis } from "../ui/axes";
import { numbersTable, stems } from "../ui/stems";
import { kernelWithPresets } from "./presets";

const LONGEST = 10;
const SEQUENCES = [
  [0.4, 1.4, 1.8, 0.5, -0.8, 0.6, 1.2, 1.9, 0.7, 1.0],
  [1.2, 1.7, 0.9, 1.5, 0.3, 1.1, 2.0, 0.8, 1.4, 0.6],
  [0.9, 1.6, 1.3, -0.4, 0.2, 1.8, 1.0, 0.5, 1.5, 1.1],
];

export const block: Section = {
  id: "block",
  rows: ["C4"],
  title: "One block: convolution, batch norm, activation, pooling, dropout",
  statement:
    "The usual building block has five parts in this order, and each may be omitted. Batch normalization takes its mean and variance over all tokens of the batch, so padding changes the output of every sequence in the batch.",
  task: "switch parts off and on and follow the signal. Then set all three lengths to 10 and shorten one sequence after the other: what happens to the statistics over padded tokens, and to those over real tokens?",
  render(root) {
    let seed = 1;
    const lengths = [10, 4, 2].map((value, i) =>
      slider({ label: `length of sequence ${i + 1}`, min: 2, max: LONGEST, step: 1, value }, () => draw()),
    );
    const g = kernelWithPresets("g", "average", () => draw(), 5);
    const conv = toggle("convolution", true, () => draw());
    const norm = toggle("batch norm", true, () => draw());
    const activation = choice("activation", { relu: "ReLU", tanh: "tanh", none: "none" }, "relu", () => draw());
    const pool = toggle("max pooling of 2", true, () => draw());
    const drop = toggle("dropout", true, () => draw());
    const p = slider({ label: "dropout probability", min: 0.1, max: 0.9, step: 0.1, value: 0.3 }, () => draw());
    const another = button("Draw other values to drop", () => {
      seed += 1;
      draw();
    });
    const shown = choice("sequence to show", { 0: "sequence 1", 1: "sequence 2", 2: "sequence 3" }, "0", () => draw());
    const drawings = h("div", { class: "columns" });
    const results = h("div");
    const table = h("div");
    const effect = h("div", { "aria-live": "polite" });
    const comparison = plot(
      "After batch norm: with statistics of real tokens (circles), and with those of padded ones (hollow squares)",
      () => {
        const { real, withPadding } = outputs();
        const i = Number(shown.value);
        return {
          x: stepAxis(`step of sequence ${i + 1}`, 0, Math.max(real[i].length, 3) - 1, 0.5),
          y: valueAxis("value"),
          marks: [
            Plot.ruleY([0]),
            ...stems(real[i], { dx: -4 }),
            ...stems(withPadding[i], { colour: "var(--negative)", symbol: "square", filled: () => false, dx: 4 }),
          ],
        };
      },
    );

    const batch = (): Batch => SEQUENCES.map((values, i) => values.slice(0, lengths[i].value));
    const kernel = () => (conv.value ? g.editor.values : [1]);
    /** The real tokens after the convolution and, if it is on, batch norm: from the ragged and the padded batch. */
    const outputs = () => {
      const real = convolved(batch(), kernel());
      const withPadding = convolved(padded(batch()), kernel());
      const [ofReal, ofPadded] = [statistics(real), statistics(withPadding)];
      return {
        ofReal,
        ofPadded,
        real: norm.value ? normalize(real, ofReal) : real,
        withPadding: (norm.value ? normalize(withPadding, ofPadded) : withPadding).map((sequence, i) =>
          sequence.slice(0, real[i].length),
        ),
      };
    };

    function draw() {
      const kept = mask(seed, p.value);
      const parts = after(batch(), {
        kernel: conv.value ? g.editor.values : undefined,
        norm: norm.value,
        activation: activation.value,
        pool: pool.value ? 2 : 1,
        dropout: drop.value ? { kept, p: p.value } : undefined,
      });
      drawParts(new Map([["input", batch() as number[][]], ...parts]));
      const output = [...parts.values()].at(-1) ?? batch();
      results.replaceChildren(
        numbersTable("The block's output as numbers", [
          ...output.map((values, i) => ({
            label: `sequence ${i + 1}`,
            values,
            name: (t: number) => `y[${i}][${t}]`,
          })),
          ...(drop.value
            ? output.map((values, i) => ({
                label: `kept, sequence ${i + 1}`,
                values: values.map((_, t) => Number(kept[i][t])),
                name: (t: number) => `kept[${i}][${t}]`,
              }))
            : []),
        ]),
      );
      drawStatistics();
    }

    function drawParts(parts: ReadonlyMap<string, number[][]>) {
      const i = Number(shown.value);
      const figures = [...parts].map(([name, values], place): Figure =>
        plot(place ? `${place}. after ${name}` : "input", () => ({
          height: 165,
          x: stepAxis("step", 0, lengths[i].value - 1, 0.5),
          y: { ...valueAxis("value"), ticks: 4 },
          marks: [Plot.ruleY([0]), ...stems(values[i])],
        })),
      );
      drawings.replaceChildren(...figures.map((figure) => figure.element));
      for (const figure of figures) figure.update();
    }

    function drawStatistics() {
      const { ofReal, ofPadded, real, withPadding } = outputs();
      const gap = largest(real.flatMap((sequence, i) => subtract(sequence, withPadding[i])));
      const padding = ofPadded.tokens - ofReal.tokens;
      const line = (label: string, name: string, { tokens, mean, variance }: Statistics) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, label),
          h("td", {}, number(tokens, `${name}.tokens`, 0)),
          h("td", {}, number(mean, `${name}.mean`)),
          h("td", {}, number(variance, `${name}.variance`)),
        );
      table.replaceChildren(
        scrolling(
          "What batch norm measures",
          h(
            "table",
            {},
            h("caption", {}, "What batch norm measures after the convolution"),
            h(
              "thead",
              {},
              h("tr", {}, ...["", "tokens", "mean", "variance"].map((title) => h("th", { scope: "col" }, title))),
            ),
            h(
              "tbody",
              {},
              line("real tokens (ragged)", "ragged", ofReal),
              line("padded with zeros", "padded", ofPadded),
            ),
          ),
        ),
      );
      effect.replaceChildren(
        h(
          "p",
          { class: `verdict ${padding && norm.value ? "bad" : "good"}` },
          padding
            ? `${padding} of ${ofPadded.tokens} tokens (${percent(padding / ofPadded.tokens)}) are padding. `
            : "",
          explanation(padding, norm.value),
          number(gap, "gap"),
          ". A ragged batch contains only real tokens.",
        ),
      );
      table.hidden = comparison.element.hidden = !norm.value;
      comparison.update();
    }

    root.append(
      row(...lengths, shown),
      row(conv, norm, activation, pool, drop, p, another),
      row(g.choice, g.size),
      g.editor.element,
      h("h3", {}, "The signal after each part"),
      drawings,
      results,
      h("h3", {}, "Batch statistics with and without padding"),
      table,
      effect,
      comparison.element,
    );
    draw();
  },
};

function explanation(padding: number, norm: boolean): string {
  if (!padding) return "The sequences have one length, so there is no padding; the largest difference is ";
  return norm
    ? "They change the outputs of real tokens, by up to "
    : "Without batch norm, padding changes no output: the largest difference is ";
}

/** Whether each value is kept: the same for a seed, by the generator mulberry32. */
function mask(seed: number, p: number): boolean[][] {
  let state = seed;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return SEQUENCES.map(() => Array.from({ length: LONGEST }, () => uniform() >= p));
}
