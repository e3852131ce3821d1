// R13: the sequential steps of an RNN beside the parallel outputs of convolutions.

import type { Section } from "../page";
import {
  convolutionSchedule,
  convolutionTime,
  duration,
  type Job,
  recurrentSchedule,
  recurrentTime,
} from "../math/recurrence/schedule";
import { TIMED, timed } from "../math/recurrence/timing";
import { button, row, slider } from "../ui/controls";
import { h, svg } from "../ui/dom";
import { curves, legend } from "../ui/lines";
import { number, percent } from "../ui/numbers";
import { plot } from "../ui/plot";

const LENGTHS = Array.from({ length: 33 }, (_, i) => Math.max(1, 16 * i));

export const costs: Section = {
  id: "costs",
  rows: ["R13"],
  title: "An RNN cannot be parallelised over time",
  statement:
    "Step t of an RNN needs the state of step t − 1, so its T steps run one after the other, however many processors there are. A convolution depends on input tokens only: all its outputs can be computed at the same time. So an RNN costs more time than a CNN with the same number of multiplications.",
  task: "add processors: when does the RNN stop becoming faster? Then lengthen the sequence, and stack more convolutions until both take the same time.",
  render(root) {
    const steps = slider({ label: "number of steps T", min: 2, max: 16, step: 1, value: 8 }, () => draw());
    const hidden = slider({ label: "outputs per step H", min: 1, max: 8, step: 1, value: 4 }, () => draw());
    const processors = slider({ label: "processors P", min: 1, max: 32, step: 1, value: 16 }, () => draw());
    const layers = slider({ label: "convolution layers", min: 1, max: 8, step: 1, value: 1 }, () => draw());
    const work = h("div", { "aria-live": "polite" });
    const measured = h("div", { "aria-live": "polite" }, h("p", { class: "quiet" }, "Not measured yet."));
    const measure = button("Measure both in this browser", () => {
      const { rnn, convolution } = timed();
      measured.replaceChildren(
        h(
          "p",
          {},
          `${TIMED.steps} steps of ${TIMED.hidden} units: RNN `,
          number(rnn, "measured.rnn", 1),
          " ms, convolution with a kernel of 2 ",
          number(convolution, "measured.cnn", 1),
          ` ms. Both have ${((2 * TIMED.steps * TIMED.hidden ** 2) / 1e6).toFixed(1)} million multiplications, and JavaScript computes them one by one. On a machine without other work both take about as long: with P = 1 the order of the steps does not matter.`,
        ),
      );
    });
    const figure = plot("Time by length of the sequence, for these H, P and layers", () => ({
      x: { label: "number of steps T" },
      y: { label: "time, units", grid: true, zero: true },
      marks: curves([
        {
          name: "RNN",
          values: LENGTHS.map((length) => recurrentTime(length, hidden.value, processors.value)),
          x: LENGTHS,
        },
        {
          name: "convolutions",
          values: LENGTHS.map((length) => convolutionTime(length, hidden.value, processors.value, layers.value)),
          x: LENGTHS,
        },
      ]),
    }));
    function draw() {
      const [rnn, cnn] = [
        recurrentSchedule(steps.value, hidden.value, processors.value),
        convolutionSchedule(steps.value, hidden.value, processors.value, layers.value),
      ];
      const longest = Math.max(duration(rnn), duration(cnn));
      const line = (text: string, jobs: readonly Job[], name: string) =>
        h(
          "p",
          {},
          `${text}: ${jobs.length} outputs in `,
          number(duration(jobs), `${name}.time`, 0),
          ` units of time; ${percent(jobs.length / (processors.value * duration(jobs)), 0)} of the processors' time is used.`,
        );
      const ratio = duration(rnn) / duration(cnn);
      work.replaceChildren(
        h("h3", {}, "Which processor computes what, and when"),
        h(
          "p",
          { class: "label" },
          "Rows are processors, columns are units of time. Each square is one output, with the number of its step t; layers alternate in colour.",
        ),
        line("RNN", rnn, "rnn"),
        schedule(rnn, processors.value, longest, "RNN"),
        line(`${layers.value} ${layers.value === 1 ? "convolution" : "convolutions"}`, cnn, "cnn"),
        schedule(cnn, processors.value, longest, "convolutions"),
        h(
          "p",
          { class: `verdict ${ratio > 1 ? "bad" : "good"}` },
          "The RNN takes ",
          number(ratio, "ratio", 2),
          " times as long as the convolutions. ",
          processors.value >= hidden.value
            ? `With P ≥ H = ${hidden.value} more processors do not make it faster: it is bound by its ${steps.value} steps.`
            : `With P < H = ${hidden.value} the steps themselves still gain from more processors.`,
        ),
      );
      figure.update();
    }
    root.append(
      row(steps, hidden, processors, layers),
      work,
      legend(["RNN: T · ⌈H / P⌉", "convolutions: layers · ⌈T · H / P⌉"]),
      figure.element,
      h("h3", {}, "Measured on one thread"),
      row(measure),
      measured,
      h(
        "p",
        { class: "quiet" },
        "A model of scheduling alone: every output takes one processor one unit of time. One output of the RNN has D + H multiplications, one of a convolution K · D: with D = H and a kernel of K = 2 they are the same, so that one convolution has as many multiplications as the RNN. Real processors also wait for memory; throughtime bench conv --parts length measures both on your own machine. A batch of many sequences gives the RNN other work to do in parallel, and then the difference nearly disappears.",
      ),
    );
    draw();
  },
};

/** Rows are processors, columns units of time; each square has the number of its step. */
function schedule(jobs: readonly Job[], processors: number, longest: number, name: string): HTMLElement {
  const [cell, left, top] = [24, 34, 2];
  const height = Math.min(cell, Math.max(9, 240 / processors));
  const [width, total] = [left + cell * longest + 4, top + height * processors + 20];
  const squares = jobs.map(({ step, layer, processor, time }) =>
    svg(
      "g",
      {},
      svg("rect", {
        x: `${left + time * cell + 1}`,
        y: `${top + processor * height + 1}`,
        width: `${cell - 2}`,
        height: `${height - 2}`,
        rx: "3",
        style: `fill:color-mix(in oklab, var(${layer % 2 ? "--good" : "--positive"}) ${step % 2 ? 30 : 55}%, transparent)`,
      }),
      svg(
        "text",
        {
          x: `${left + (time + 0.5) * cell}`,
          y: `${top + (processor + 0.5) * height + 3.5}`,
          style: `font-size:${Math.min(11, height)}px`,
        },
        `${step + 1}`,
      ),
    ),
  );
  const picture = svg(
    "svg",
    {
      class: "unrolled",
      viewBox: `0 0 ${width} ${total}`,
      width: `${width}`,
      role: "img",
      "aria-label": `schedule of the ${name}`,
    },
    ...Array.from({ length: processors }, (_, p) =>
      svg("line", {
        x1: `${left}`,
        x2: `${width}`,
        y1: `${top + (p + 1) * height}`,
        y2: `${top + (p + 1) * height}`,
        stroke: "var(--line)",
        "stroke-width": "0.5",
      }),
    ),
    ...[0, processors - 1].map((p) =>
      svg("text", { x: `${left - 6}`, y: `${top + (p + 0.5) * height + 4}`, style: "text-anchor:end" }, `${p + 1}`),
    ),
    ...squares,
    ...Array.from({ length: longest }, (_, time) => time)
      .filter((time) => time % Math.ceil(longest / 20) === 0)
      .map((time) =>
        svg("text", { x: `${left + (time + 0.5) * cell}`, y: `${total - 5}`, class: "name" }, `${time + 1}`),
      ),
  );
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `schedule of the ${name}` }, picture);
}
