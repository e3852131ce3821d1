// R12: what padding does to final states, means and costs, beside a ragged batch.

import type { Section } from "../page";
import { random } from "../math/recurrence/random";
import { rnn, type RnnWeights } from "../math/recurrence/rnn";
import { row, slider } from "../ui/controls";
import { h } from "../ui/dom";
import { equation } from "../ui/equation";
import { colour } from "../ui/matrix";
import { format, number, percentage } from "../ui/numbers";

const LONGEST = 12;
const source = random(12);
const X = Array.from({ length: 4 }, () => Array.from({ length: LONGEST }, () => Math.round(10 * source.normal()) / 10));
const NAMES = ["A", "B", "C", "D"];
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

export const padding: Section = {
  id: "padding",
  rows: ["R12"],
  title: "Padding and ragged batches",
  statement:
    "Sequences of a batch differ in length, and a rectangular tensor needs them padded. An RNN does not know which tokens are padding: it reads them, so that its final state changes, means include states of padding, and steps are computed that nobody needs. A ragged batch contains only the tokens.",
  task: "make one sequence much longer than the others and watch the wasted share. Then choose another value for the padding: which of the results of a short sequence depend on it?",
  render(root) {
    const lengths = [12, 7, 4, 2].map((value, b) =>
      slider({ label: `length of ${NAMES[b]}`, min: 1, max: LONGEST, step: 1, value }, () => draw()),
    );
    const pad = slider({ label: "value of the padding", min: -2, max: 2, step: 0.1, value: 0 }, () => draw());
    const w = slider({ label: "weight w", min: -1.5, max: 1.5, step: 0.05, value: 0.8 }, () => draw());
    const b = slider({ label: "bias b", min: -1, max: 1, step: 0.05, value: 0.3 }, () => draw());
    const work = h("div", { "aria-live": "polite" });
    function draw() {
      const weights: RnnWeights = { hh: [[w.value]], hx: [[1]], b: [b.value] };
      const sizes = lengths.map(({ value }) => value);
      const width = Math.max(...sizes);
      const states = X.map((tokens, k) => {
        const padded = Array.from({ length: width }, (_, t) => [t < sizes[k] ? tokens[t] : pad.value]);
        return rnn(weights, padded, [0]).map(([value]) => value);
      });
      const total = sizes.reduce((a, c) => a + c, 0);
      const wasted = 1 - total / (sizes.length * width);
      const cells = (k: number) =>
        states[k].map((value, t) =>
          t < sizes[k]
            ? h(
                "td",
                { style: `background:${colour(value, 1.2)}`, class: t === sizes[k] - 1 ? "marked" : "" },
                format(value, 2),
              )
            : h("td", { class: "pad", title: "padding" }, h("s", {}, format(value, 2))),
        );
      const result = (k: number, name: string, value: number) => h("td", {}, number(value, `${NAMES[k]}.${name}`));
      work.replaceChildren(
        h(
          "div",
          { class: "scroll", tabindex: "0", role: "region", "aria-label": "states of the padded batch" },
          h(
            "table",
            { class: "matrix" },
            h(
              "caption",
              {},
              "States h(t) in the padded batch: the framed one is the true end; states of padding are struck through",
            ),
            h(
              "thead",
              {},
              h("tr", {}, h("td", {}), ...states[0].map((_, t) => h("th", { scope: "col" }, `t = ${t + 1}`))),
            ),
            h("tbody", {}, ...NAMES.map((name, k) => h("tr", {}, h("th", { scope: "row" }, name), ...cells(k)))),
          ),
        ),
        h(
          "div",
          { class: "scroll", tabindex: "0", role: "region", "aria-label": "results with and without padding" },
          h(
            "table",
            {},
            h("caption", {}, "What is read from the states"),
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                ...[
                  "",
                  "final, ragged",
                  "final, padded",
                  "difference",
                  "mean, ragged",
                  "mean, padded",
                  "difference",
                ].map((text) => h("th", { scope: "col" }, text)),
              ),
            ),
            h(
              "tbody",
              {},
              ...NAMES.map((name, k) => {
                const unpadded = states[k].slice(0, sizes[k]);
                const [end, late, average, diluted] = [
                  unpadded.at(-1)!,
                  states[k].at(-1)!,
                  mean(unpadded),
                  mean(states[k]),
                ];
                return h(
                  "tr",
                  {},
                  h("th", { scope: "row" }, name),
                  result(k, "final", end),
                  result(k, "final padded", late),
                  result(k, "final difference", late - end),
                  result(k, "mean", average),
                  result(k, "mean padded", diluted),
                  result(k, "mean difference", diluted - average),
                );
              }),
            ),
          ),
        ),
        h(
          "p",
          { class: `verdict ${wasted > 0 ? "bad" : "good"}` },
          `Padded: ${sizes.length} × ${width} = ${sizes.length * width} steps. Ragged: `,
          number(total, "total", 0),
          " steps. ",
          percentage(wasted, "wasted"),
          " of the padded computation is wasted.",
        ),
      );
    }
    root.append(
      equation("h(t) = tanh(w h(t−1) + x(t) + b)"),
      row(...lengths),
      row(pad, w, b),
      work,
      h(
        "p",
        { class: "quiet" },
        "PyTorch has packing routines, pack_padded_sequence and pad_packed_sequence, which give the true final state; pooling, batch statistics and convolutions after them still have to be masked by the user. The layers of throughtime take a Ragged, which has no padding, and give a sequence in a batch the same result as alone.",
      ),
    );
    draw();
  },
};
