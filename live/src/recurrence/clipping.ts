// R6: what clipping by norm and by value does to a step beside a cliff.

import type { Section } from "../page";
import { CLIFF, cliff, type Clip, clipped, descend } from "../math/recurrence/cliff";
import { dot, norm, type Vector } from "../math/recurrence/linear";
import { row, slider } from "../ui/controls";
import { h } from "../ui/dom";
import { equation } from "../ui/equation";
import { stepAxis } from "../ui/axes";
import { curves, curveStyle, legend } from "../ui/lines";
import { number } from "../ui/numbers";
import { Plot, plot } from "../ui/plot";

const MAP = { x1: 5.3, x2: 6.4, y1: -3.2, y2: -2.2 };
const WAYS: readonly [Clip, string][] = [
  ["none", "no clipping"],
  ["norm", "clipped by norm"],
  ["value", "clipped by value"],
];

export const clipping: Section = {
  id: "clipping",
  rows: ["R6"],
  title: "Clipping an exploding gradient",
  statement:
    "Where gradients explode, the loss has cliffs. On a cliff the gradient is so long that one step of gradient descent moves the weights far away. Clipping by norm shortens the gradient and keeps its direction. Clipping by value bounds every entry on its own, which changes the direction.",
  task: "move the start off the cliff and back onto it. Then raise the limit until clipping does nothing, and follow the loss of the three paths.",
  render(root) {
    const w = slider({ label: "start, weight w", min: MAP.x1, max: MAP.x2, step: 0.05, value: 5.75 }, () => draw());
    const b = slider({ label: "start, bias b", min: MAP.y1, max: MAP.y2, step: 0.01, value: -2.9 }, () => draw());
    const rate = slider({ label: "learning rate", min: 0.02, max: 0.5, step: 0.02, value: 0.1 }, () => draw());
    const limit = slider({ label: "limit of the clipping", min: 0.05, max: 20, step: 0.05, value: 0.3 }, () => draw());
    const steps = slider({ label: "steps of gradient descent", min: 1, max: 40, step: 1, value: 30 }, () => draw());
    const work = h("div", { "aria-live": "polite" });
    const paths = () => WAYS.map(([how]) => descend([w.value, b.value], rate.value, how, limit.value, steps.value));
    const map = plot(
      "The loss over both weights (darker is higher), and the paths of gradient descent from the start, the ring. A path that leaves the map is cut off.",
      () => {
        const inside = ([x, y]: Vector) => x >= MAP.x1 && x <= MAP.x2 && y >= MAP.y1 && y <= MAP.y2;
        return {
          height: 340,
          x: { label: "weight w", domain: [MAP.x1, MAP.x2] },
          y: { label: "bias b", domain: [MAP.y1, MAP.y2] },
          color: {
            scheme: "blues",
            domain: [0, 0.8],
            legend: true,
            label: "loss L",
            marginLeft: 12,
          } as Plot.ScaleOptions,
          marks: [
            Plot.raster({
              ...MAP,
              fill: (x: number, y: number) => cliff([x, y]).loss,
              pixelSize: 3,
            } as Plot.RasterOptions),
            ...paths().flatMap((path, i) => {
              const style = curveStyle(i);
              const line = { x: "0", y: "1", clip: true as const };
              return [
                Plot.line(path, { ...line, stroke: "white", strokeWidth: 5 }),
                Plot.line(path, { ...line, stroke: style.colour, strokeWidth: 2.5, strokeDasharray: style.dash }),
                Plot.dot(path.filter(inside), {
                  x: "0",
                  y: "1",
                  fill: style.colour,
                  stroke: "white",
                  symbol: style.symbol,
                  r: 4.5,
                }),
              ];
            }),
            Plot.dot([[w.value, b.value]], { x: "0", y: "1", r: 11, stroke: "black", strokeWidth: 2 }),
          ],
        };
      },
    );
    const cut = plot("The loss along the gradient, a cut through the map: where the first step lands", () => {
      const start = [w.value, b.value];
      const { gradient } = cliff(start);
      const size = norm(gradient);
      const loss = (distance: number) => cliff(start.map((value, i) => value - (distance / size) * gradient[i])).loss;
      const landing = (how: Clip) => rate.value * norm(clipped(gradient, how, limit.value));
      const last = Math.max(0.1, 1.2 * landing("none"));
      const along = Array.from({ length: 241 }, (_, i) => -0.3 * last + (1.3 * last * i) / 240);
      const landed = (["none", "norm"] as const).map((how, i) => ({
        x: landing(how),
        y: loss(landing(how)),
        style: curveStyle(i),
      }));
      return {
        x: { label: "distance from the start against the gradient" },
        y: { label: "loss L", grid: true, zero: true },
        marks: [
          Plot.ruleY([0]),
          Plot.line(along, { x: (d) => d, y: loss, stroke: "var(--quiet)", strokeWidth: 1.5 }),
          Plot.dot([0], { x: (d) => d, y: loss, r: 9, stroke: "var(--text)", strokeWidth: 2 }),
          Plot.text([0], {
            x: (d) => d,
            y: loss,
            text: () => "start",
            dx: -14,
            textAnchor: "end",
            fill: "var(--text)",
          }),
          ...landed.map(({ x, y, style }) =>
            Plot.dot([[x, y]], { x: "0", y: "1", r: 6, fill: style.colour, symbol: style.symbol }),
          ),
          Plot.text(landed.slice(0, 1), { x: "x", y: "y", text: () => "no clipping", dy: -14, fill: "var(--text)" }),
          Plot.text(landed.slice(1), {
            x: "x",
            y: "y",
            text: () => "by norm",
            dx: 12,
            dy: -2,
            textAnchor: "start",
            fill: "var(--text)",
          }),
        ],
      };
    });
    const losses = plot("The loss along the three paths", () => ({
      x: stepAxis("step of gradient descent", 0, steps.value),
      y: { label: "loss L", grid: true, zero: true },
      marks: [
        Plot.ruleY([0]),
        ...curves(paths().map((path, i) => ({ name: WAYS[i][1], values: path.map((point) => cliff(point).loss) }))),
      ],
    }));
    function draw() {
      const start = [w.value, b.value];
      const { loss, gradient } = cliff(start);
      const all = paths();
      const line = ([how, text]: readonly [Clip, string], i: number) => {
        const step = clipped(gradient, how, limit.value);
        const turned = norm(gradient)
          ? (Math.acos(Math.min(1, dot(step, gradient) / (norm(step) * norm(gradient)))) * 180) / Math.PI
          : 0;
        const after = all[i][1];
        const cell = (value: number, name: string, digits = 3) => h("td", {}, number(value, `${how}.${name}`, digits));
        return h(
          "tr",
          {},
          h("th", { scope: "row" }, text),
          cell(step[0], "w"),
          cell(step[1], "b"),
          cell(norm(step), "norm"),
          cell(turned, "turned", 1),
          cell(after[0], "w after", 2),
          cell(after[1], "b after", 2),
          cell(cliff(after).loss, "loss after"),
          cell(cliff(all[i].at(-1)!).loss, "last loss"),
        );
      };
      work.replaceChildren(
        h(
          "p",
          {},
          "At the start the loss is ",
          number(loss, "loss"),
          " and the gradient has length ",
          number(norm(gradient), "norm", 2),
          ".",
        ),
        h(
          "div",
          { class: "scroll", tabindex: "0", role: "region", "aria-label": "one step, three ways" },
          h(
            "table",
            {},
            h("caption", {}, "The first step, three ways"),
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                ...[
                  "",
                  "∂L/∂w",
                  "∂L/∂b",
                  "length",
                  "turned by °",
                  "w after",
                  "b after",
                  "loss after",
                  `loss after ${steps.value}`,
                ].map((text) => h("th", { scope: "col" }, text)),
              ),
            ),
            h("tbody", {}, ...WAYS.map(line)),
          ),
        ),
        norm(gradient) > limit.value
          ? h(
              "p",
              { class: "verdict" },
              `The gradient is ${(norm(gradient) / limit.value).toPrecision(3)} times as long as the limit: clipping acts on this step.`,
            )
          : h("p", { class: "verdict" }, "The gradient is shorter than the limit: clipping leaves this step as it is."),
      );
      map.update();
      cut.update();
      losses.update();
    }
    root.append(
      equation(`h(t) = σ(w h(t−1) + b),   h(0) = ${CLIFF.initial},   L = (h(${CLIFF.steps}) − ${CLIFF.target})²`),
      row(w, b, rate, limit, steps),
      legend(WAYS.map(([, text]) => text)),
      map.element,
      work,
      cut.element,
      losses.element,
      h(
        "p",
        { class: "quiet" },
        "The network has one unit and two parameters, after figure 6 of Pascanu, Mikolov and Bengio (2013). On the cliff the state is near an unstable fixed point, and every step back multiplies the gradient.",
      ),
    );
    draw();
  },
};
