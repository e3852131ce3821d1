// C7: dilated and causal convolution.

import type { Section } from "../page";
import {
  convolution,
  fields,
  layersToRead,
  lengths,
  pathsFromInput,
  pathsToOutput,
  sizeOf,
} from "../math/convolution-field";
import { choice, row, slider, stepper, toggle } from "../ui/controls";
import { h } from "../ui/dom";
import { number } from "../ui/numbers";
import { Plot, plot } from "../ui/plot";
import { network } from "./network";

const INPUT = 32;
const DEEPEST = 8;

export const dilated: Section = {
  id: "dilated",
  rows: ["C7"],
  title: "Dilated and causal convolution",
  statement:
    "A dilated kernel leaves out steps between its weights. With dilations 1, 2, 4, … the receptive field grows exponentially with the depth, while the weights grow linearly. A causal convolution reads no later step, so it can forecast and run on a stream.",
  task: "set the base of the dilations to 1 and back to 2. Then switch causal off, and look which inputs come from the future. With base 3 and kernels of 2, which steps of its receptive field does an output not read?",
  render(root) {
    let forward = false;
    const depth = slider({ label: "layers", min: 1, max: 5, step: 1, value: 4 }, () => draw());
    const size = slider({ label: "kernel size", min: 2, max: 4, step: 1, value: 2 }, () => draw());
    const base = slider({ label: "base of the dilations", min: 1, max: 3, step: 1, value: 2 }, () => draw());
    const causal = toggle("causal", true, () => draw());
    const view = choice(
      "light up",
      { output: "what an output reads", input: "what an input reaches" },
      "output",
      (value) => {
        forward = value === "input";
        draw();
      },
    );
    const step = stepper("chosen step", INPUT - 1, 27, () => draw());
    const target = slider({ label: "steps to read", min: 10, max: 2000, step: 10, value: 1000 }, () => draw());
    const layers = () =>
      Array.from({ length: depth.value }, (_, i) => {
        const dilation = base.value ** i;
        return convolution(`layer ${i + 1}, dilation ${dilation}`, size.value, { dilation, causal: causal.value });
      });
    const paths = () => (forward ? pathsFromInput : pathsToOutput)(INPUT, layers(), step.value);
    const drawing = network(
      () => ({
        input: INPUT,
        layers: layers(),
        paths: paths(),
        chosen: [forward ? 0 : depth.value, step.value],
        causal: causal.value,
        description: `A network of ${depth.value} layers over ${INPUT} steps; paths ${forward ? "from input" : "to output"} ${step.value} are filled`,
      }),
      (chosen) => {
        step.value = chosen;
        draw();
      },
    );
    const growth = plot("Receptive field over the depth, with this kernel size (logarithmic axis)", () => {
      const points = [1, 2, 3].flatMap((power) =>
        Array.from({ length: DEEPEST }, (_, i) => ({
          layers: i + 1,
          steps: 1 + Array.from({ length: i + 1 }, (_, j) => (size.value - 1) * power ** j).reduce((a, b) => a + b, 0),
          dilations: power === 1 ? "without dilation" : `base ${power}`,
        })),
      );
      return {
        marginRight: 105,
        x: { label: "layers", ticks: DEEPEST, tickFormat: "d", inset: 6 },
        y: { label: "receptive field in steps", type: "log", grid: true, tickFormat: "d", ticks: 4 },
        marks: [
          Plot.lineY(points, { x: "layers", y: "steps", z: "dilations", stroke: "currentColor", strokeOpacity: 0.5 }),
          Plot.dot(points, {
            x: "layers",
            y: "steps",
            symbol: "dilations",
            stroke: "var(--positive)",
            fill: "var(--card)",
            r: 4,
          }),
          Plot.dot(points, {
            filter: (point) =>
              point.layers === depth.value &&
              point.dilations === (base.value === 1 ? "without dilation" : `base ${base.value}`),
            x: "layers",
            y: "steps",
            fill: "var(--negative)",
            r: 6,
          }),
          Plot.text(points, {
            filter: (point) => point.layers === DEEPEST,
            x: "layers",
            y: "steps",
            text: "dilations",
            textAnchor: "start",
            dx: 8,
          }),
        ],
      };
    });
    const text = h("div", { "aria-live": "polite" });
    const needed = h("p", { "aria-live": "polite" });

    function draw() {
      const parts = layers();
      const field = fields(parts).at(-1)!;
      const counts = lengths(INPUT, parts);
      step.last = (forward ? counts[0] : counts.at(-1)!) - 1;
      const lit = paths()[forward ? depth.value : 0].flatMap((count, t) => (count > 0 ? [t] : []));
      const later = forward ? lit.filter((t) => t < step.value) : lit.filter((t) => t > step.value);
      text.replaceChildren(
        h(
          "p",
          { class: "verdict" },
          "Receptive field: ",
          h("strong", {}, number(sizeOf(field), "size", 0), " steps"),
          ": from ",
          number(-field.first, "before", 0),
          " before the output to ",
          number(field.last, "lookahead", 0),
          " after it, with ",
          number(depth.value * size.value, "weights", 0),
          " weights. ",
          forward ? `Input ${step.value} reaches ` : `Output ${step.value} reads `,
          number(lit.length, "lit", 0),
          forward ? " outputs of this signal: " : " steps of this signal: ",
          `${ranges(lit)}. `,
          number(later.length, "later", 0),
          forward ? " of them are before the input." : " of them are later than the output.",
        ),
      );
      needed.replaceChildren(
        `To read ${target.value} steps with kernels of ${size.value}: `,
        number(layersToRead(target.value, size.value, 1), "plain", 0),
        " layers without dilation, ",
        number(layersToRead(target.value, size.value, 2), "doubled", 0),
        " with dilations 1, 2, 4 and so on.",
      );
      drawing.update();
      growth.update();
    }
    root.append(
      row(depth, size, base, causal),
      row(view, step),
      drawing.element,
      text,
      growth.element,
      row(target),
      needed,
    );
    draw();
  },
};

/** Return "2, 4 to 7" of [2, 4, 5, 6, 7]. */
function ranges(steps: readonly number[]): string {
  const runs: [first: number, last: number][] = [];
  for (const step of steps) {
    const run = runs.at(-1);
    if (run && run[1] === step - 1) run[1] = step;
    else runs.push([step, step]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first} to ${last}`)).join(", ");
}
