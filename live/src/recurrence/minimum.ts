// R6: a vanished gradient looks like a minimum; what tells them apart.

import type { Section } from "../page";
import {
  data,
  descendFrom,
  LENGTH,
  lossAt,
  type Measured,
  measure,
  MATTERS,
  type Target,
  UNREACHED,
  UNUSED,
  type Verdict,
  verdictOf,
} from "../math/recurrence/plateau";
import { button, slider } from "../ui/controls";
import { h } from "../ui/dom";
import { equation } from "../ui/equation";
import { stepAxis } from "../ui/axes";
import { curves, legend } from "../ui/lines";
import { number, percent, percentage } from "../ui/numbers";
import { Plot, plot } from "../ui/plot";

const WEIGHTS = Array.from({ length: 61 }, (_, i) => -0.5 + i * 0.05);
const TIME = Array.from({ length: LENGTH }, (_, t) => t + 1);
const START = { first: 0.2, last: 0.3 };
const RATE = 0.3;
const STEPS = 200;

const VERDICTS: Record<Verdict, [string, string]> = {
  descending: ["", "Still descending: the gradient is not small."],
  vanished: [
    "bad",
    "Vanished, not converged: the loss depends on a step that the gradient does not reach and the network does not use. The small gradient does not show a minimum.",
  ],
  minimum: ["good", "A minimum: the gradient is small, and no step that it does not reach would lower the loss."],
};

export const minimum: Section = {
  id: "minimum",
  rows: ["R6"],
  title: "A vanished gradient looks like a minimum",
  statement:
    "When gradients vanish, training stops as if it had converged: the gradient is nearly zero in both cases, and in both the loss may be high. The difference is whether the loss depends on steps that the gradient does not reach.",
  task: "compare both gradients and both losses. Then move w on the left beyond 1: the network keeps its first token, and the loss falls. On the right no w does better.",
  render(root) {
    root.append(
      equation("h(t) = tanh(w h(t−1) + x(t)),   L = mean of (h(T) − y)²"),
      h(
        "div",
        { class: "columns" },
        panel("first", "The target is the sign of the first of 12 tokens"),
        panel("last", "The target is the last of 12 tokens, with noise"),
      ),
      legend(["share of the gradient that reaches x(t)", "share of the error that x(t) would explain"]),
      h(
        "p",
        { class: "quiet" },
        `Three ratios decide, and none of them depends on the scale of the loss. A step is unreached if its gradient is below ${percent(UNREACHED, 0)} of the largest of its sequence. The loss depends on it if a direct connection from x(t) to the output would remove ${percent(MATTERS, 0)} of the error of a constant output. The network does not use it if exchanging such steps between sequences changes the output by less than ${percent(UNUSED, 0)} of its standard deviation. The library's vanished_not_converged tests the second ratio against chance with 999 permutations; with ${256} sequences the threshold alone does nearly the same.`,
      ),
    );
  },
};

function panel(target: Target, title: string): HTMLElement {
  const set = data(target);
  const landscape = WEIGHTS.map((w) => lossAt(w, set));
  let w = descendFrom(START[target], set, RATE, STEPS);
  let now: Measured = measure(w, set);
  const control = slider(
    { label: `weight w (${target} token)`, min: -0.5, max: 2.5, step: 0.01, value: w },
    (value) => {
      w = value;
      draw();
    },
  );
  const descend = button(`${STEPS} steps of gradient descent`, () => {
    w = descendFrom(w, set, RATE, STEPS);
    control.value = w;
    draw();
  });
  const facts = h("div", { "aria-live": "polite" });
  const loss = plot("The loss over w; the dot is where the network is, the line is the slope there", () => ({
    x: { label: "weight w", domain: [-0.5, 2.5] },
    y: { label: "loss L", zero: true, grid: true },
    marks: [
      Plot.ruleY([0]),
      Plot.line(landscape, { x: (_, i) => WEIGHTS[i], y: (d) => d, stroke: "var(--accent)", strokeWidth: 2 }),
      Plot.line([-0.4, 0.4], {
        x: (d) => w + d,
        y: (d) => now.loss + now.slope * d,
        stroke: "var(--negative)",
        strokeWidth: 2,
        clip: true,
      }),
      Plot.dot([w], { x: (d) => d, y: () => now.loss, r: 6, fill: "var(--negative)", symbol: "diamond" }),
    ],
  }));
  const bySteps = plot("By step: what the gradient reaches, and what would lower the loss", () => ({
    x: stepAxis("step t", 1, LENGTH),
    y: { label: "share", domain: [0, 1], grid: true, tickFormat: "%" },
    marks: curves([
      { name: "reach", values: now.reach, x: TIME },
      { name: "explained", values: now.explained, x: TIME },
    ]),
  }));
  function draw() {
    now = measure(w, set);
    const unreached = now.reach.map((value, t) => (value < UNREACHED ? now.explained[t] : 0));
    const verdict = verdictOf(now);
    const [kind, text] = VERDICTS[verdict];
    facts.replaceChildren(
      h(
        "p",
        {},
        "w = ",
        number(w, `${target}.w`, 3),
        ", loss ",
        number(now.loss, `${target}.loss`),
        ", ∂L/∂w = ",
        number(now.slope, `${target}.slope`, 4),
        ".",
      ),
      h(
        "p",
        {},
        `The gradient does not reach ${now.reach.filter((value) => value < UNREACHED).length} of ${LENGTH} steps. A direct connection from one of them to the output would remove at most `,
        percentage(Math.max(0, ...unreached), `${target}.explained`),
        " of the error. If these steps are exchanged between sequences, the output changes by ",
        percentage(now.moved, `${target}.moved`, 2),
        " of its standard deviation.",
      ),
      h("p", { class: `verdict ${kind}`, "data-verdict": `${target}.${verdict}` }, text),
    );
    loss.update();
    bySteps.update();
  }
  const element = h(
    "div",
    {},
    h("h3", {}, title),
    loss.element,
    h("div", { class: "controls" }, control.element, descend),
    facts,
    bySteps.element,
  );
  draw();
  return element;
}
