// R4: truncated backpropagation through time, and what its windows leave out of the gradient.

import type { Section } from "../page";
import { dot, frobenius, type Matrix, norm, scaledMatrix, type Vector } from "../math/recurrence/linear";
import { random } from "../math/recurrence/random";
import { rnn, type RnnWeights } from "../math/recurrence/rnn";
import { isKept, pairTerms, sumOfTerms, type Window, windows } from "../math/recurrence/windows";
import { row, slider, stepper } from "../ui/controls";
import { h, svg } from "../ui/dom";
import { equation } from "../ui/equation";
import { matrix } from "../ui/matrix";
import { number, percent } from "../ui/numbers";
import { Plot, plot } from "../ui/plot";

const LENGTH = 24;
const ANGLE = Math.PI / 9;
const READ: Vector = [1, -0.5];
const source = random(4);
const INPUT = Array.from({ length: LENGTH }, () => (source.uniform() < 0.5 ? -1 : 1));

/** ∂L(s)/∂h(s) of the losses ½ (v · h(s) − x(s − delay))², and the terms of every pair of steps. */
function problem(radius: number, delay: number) {
  const turn = [
    [Math.cos(ANGLE), -Math.sin(ANGLE)],
    [Math.sin(ANGLE), Math.cos(ANGLE)],
  ];
  const w: RnnWeights = { hh: scaledMatrix(turn, radius), hx: [[0.5], [0.25]], b: [0, 0] };
  const states = rnn(
    w,
    INPUT.map((value) => [value]),
    [0, 0],
  );
  const direct = states.map((state, s) => READ.map((v) => v * (dot(READ, state) - (INPUT[s - delay] ?? 0))));
  return pairTerms(w, states, [0, 0], direct, "tanh");
}

export const truncated: Section = {
  id: "truncated",
  rows: ["R4"],
  title: "Truncated windows",
  statement:
    "On long sequences the gradient is computed in a sliding window: every k1 steps the weights are updated, and the gradient of that update flows back at most k2 steps. The state is carried from window to window, the gradient is not: terms that reach further back than the window are left out of the sum.",
  task: "step through the windows. Make them longer (k2) until the truncated gradient points in the direction of the full one. Then give the network a longer memory (spectral radius ρ) and a longer delay: how long must the window be now?",
  render(root) {
    const k1 = slider({ label: "k1, steps between updates", min: 1, max: LENGTH, step: 1, value: 4 }, (steps) => {
      k2.value = Math.max(k2.value, steps);
      draw();
    });
    const k2 = slider(
      { label: "k2, steps that gradients flow back", min: 1, max: LENGTH, step: 1, value: 4 },
      (steps) => {
        k1.value = Math.min(k1.value, steps);
        draw();
      },
    );
    const radius = slider({ label: "spectral radius ρ", min: 0.3, max: 1.2, step: 0.05, value: 0.9 }, () => draw());
    const delay = slider({ label: "delay: the target is x(t − delay)", min: 0, max: 12, step: 1, value: 5 }, () =>
      draw(),
    );
    const position = stepper("window", LENGTH / 4, 2, () => draw(), 1);
    const picture = h("div", {});
    const work = h("div", { "aria-live": "polite" });
    const gradient = (terms: Matrix[][], cut: readonly Window[]) => sumOfTerms(terms, 2, (s, t) => isKept(cut, s, t));
    const errorOf = (full: Matrix, part: Matrix) =>
      norm(full.flat().map((value, k) => part.flat()[k] - value)) / frobenius(full);
    const figure = plot("Relative error of the truncated gradient for every window length k2, with this k1", () => {
      const terms = problem(radius.value, delay.value);
      const full = sumOfTerms(terms, 2, () => true);
      const points = Array.from({ length: LENGTH - k1.value + 1 }, (_, i) => k1.value + i).map((steps) => ({
        steps,
        error: errorOf(full, gradient(terms, windows(LENGTH, k1.value, steps))),
      }));
      return {
        x: { label: "window length k2", domain: [0, LENGTH] },
        y: { label: "relative error", grid: true, zero: true },
        marks: [
          Plot.ruleY([0]),
          Plot.line(points, { x: "steps", y: "error", stroke: "var(--accent)" }),
          Plot.dot(points, { x: "steps", y: "error", r: 3, fill: "var(--accent)" }),
          Plot.dot(
            points.filter(({ steps }) => steps === k2.value),
            { x: "steps", y: "error", r: 7, symbol: "diamond", fill: "var(--negative)" },
          ),
          Plot.text(
            points.filter(({ steps }) => steps === k2.value),
            {
              x: "steps",
              y: "error",
              text: () => "this k2",
              dx: 10,
              dy: -10,
              textAnchor: "start",
              fill: "var(--text)",
            },
          ),
        ],
      };
    });
    function draw() {
      const terms = problem(radius.value, delay.value);
      const cut = windows(LENGTH, k1.value, k2.value);
      const full = sumOfTerms(terms, 2, () => true);
      const part = gradient(terms, cut);
      const pairs = (LENGTH * (LENGTH + 1)) / 2;
      const kept = terms.reduce((sum, line, s) => sum + line.filter((_, t) => isKept(cut, s, t)).length, 0);
      const cosine = dot(full.flat(), part.flat()) / (frobenius(full) * frobenius(part));
      const angle = (Math.acos(Math.min(1, Math.max(-1, cosine))) * 180) / Math.PI;
      const computed = cut.reduce((sum, { start, stop }) => sum + stop - start, 0);
      position.last = cut.length;
      const current = cut[position.value - 1];
      picture.replaceChildren(triangle(terms, cut, current));
      const shown = (values: Matrix, caption: string, name: string) =>
        matrix(values, {
          caption,
          scale: Math.max(...full.flat().map(Math.abs)),
          digits: 4,
          name: (i, j) => `${name}[${i + 1}][${j + 1}]`,
        });
      work.replaceChildren(
        h(
          "div",
          { class: "matrices" },
          shown(full, "full ∂L/∂W_{hh}", "full"),
          shown(part, "truncated, summed over all windows", "truncated"),
          shown(gradient(terms, [current]), `of window ${position.value} alone: one update`, "update"),
        ),
        h(
          "p",
          {},
          `Window ${position.value} of ${cut.length} computes steps ${current.start + 1} to ${current.stop}, from the carried state h(${current.start}). `,
          current.scored > current.start
            ? `The loss of its last steps, ${current.scored + 1} to ${current.stop}, counts.`
            : "The loss of all its steps counts.",
        ),
        h(
          "p",
          {},
          "The windows keep ",
          number(kept, "kept", 0),
          ` of ${pairs} pairs (${percent(kept / pairs)}). Relative error `,
          number(errorOf(full, part), "error", 4),
          ", angle between the two gradients ",
          number(angle, "angle", 2),
          "°. ",
          `There are ${cut.length} updates; `,
          number(computed, "computed", 0),
          ` steps are computed for ${LENGTH} tokens, and at most ${Math.min(k2.value, LENGTH)} states are held at once.`,
        ),
        verdict(angle, errorOf(full, part)),
      );
      figure.update();
    }
    root.append(
      equation(
        "L = Σ_{s} L(s),   L(s) = ½ (v · h(s) − x(s − delay))²",
        "∂L/∂W_{hh} = Σ_{s} Σ_{t ≤ s} (term of loss s and step t)",
      ),
      row(k1, k2, radius, delay),
      position.element,
      h(
        "div",
        { class: "columns" },
        h(
          "figure",
          {},
          picture,
          h(
            "figcaption",
            {},
            "One square for each loss s and step t ≤ s, darker for a larger term. Framed squares are in a window, those with a thick frame in the chosen one; crossed squares are left out.",
          ),
        ),
        work,
      ),
      figure.element,
      h(
        "p",
        { class: "quiet" },
        "The weights stay as they are here, so that both gradients belong to the same weights. In training they change after every window, so that a carried state was computed with older weights.",
      ),
    );
    draw();
  },
};

const verdict = (angle: number, error: number) =>
  error < 1e-12
    ? h("p", { class: "verdict good" }, "Every term is kept: this is full backpropagation through time.")
    : angle < 10
      ? h("p", { class: "verdict good" }, "Nearly the direction of the full gradient: the terms left out are small.")
      : h(
          "p",
          { class: "verdict bad" },
          "The truncated gradient points in another direction: dependencies longer than the window are not learned.",
        );

/** The terms as a triangle of squares: losses down, steps across. */
function triangle(terms: readonly Matrix[][], cut: readonly Window[], current: Window): SVGElement {
  const [size, left, top] = [15, 30, 30];
  const largest = Math.max(...terms.flat().map(frobenius), 1e-12);
  const squares = terms.flatMap((line, s) =>
    line.flatMap((term, t) => {
      const [x, y] = [left + t * size, top + s * size];
      const share = (frobenius(term) / largest) ** 0.5;
      const kept = isKept(cut, s, t);
      const isCurrent = isKept([current], s, t);
      const rect = svg("rect", {
        x: `${x + 1}`,
        y: `${y + 1}`,
        width: `${size - 2}`,
        height: `${size - 2}`,
        style: `fill:color-mix(in oklab, var(--positive) ${(85 * share).toFixed(1)}%, transparent)`,
        stroke: isCurrent ? "var(--negative)" : kept ? "var(--accent)" : "var(--line)",
        "stroke-width": isCurrent ? "2.8" : kept ? "1.4" : "0.7",
      });
      const cross = svg("path", { d: `M${x + 4} ${y + 4}l7 7m0 -7l-7 7`, stroke: "var(--quiet)", "stroke-width": "1" });
      return kept ? [rect] : [rect, cross];
    }),
  );
  const ticks = [0, 5, 11, 17, 23].flatMap((i) => [
    svg("text", { x: `${left - 5}`, y: `${top + size * i + 12}`, style: "text-anchor:end" }, `${i + 1}`),
    svg("text", { x: `${left + size * i + 8}`, y: `${top - 5}` }, `${i + 1}`),
  ]);
  return svg(
    "svg",
    {
      class: "unrolled",
      viewBox: `0 0 ${left + size * LENGTH + 4} ${top + size * LENGTH + 4}`,
      style: "max-width:420px;width:100%",
      role: "img",
      "aria-label": "Which pairs of a loss and a step the windows keep",
    },
    svg("text", { x: `${left}`, y: "11", style: "text-anchor:start" }, "step t →"),
    svg(
      "text",
      { x: `${left + size * 16}`, y: `${top + size * 3}`, style: "text-anchor:middle" },
      "rows: loss at step s ↓",
    ),
    ...ticks,
    ...squares,
  );
}
