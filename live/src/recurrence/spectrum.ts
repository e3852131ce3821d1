// R5: exploding and vanishing gradients, the eigenvalues that predict them, and the condition number that does not.

import type { Section } from "../page";
import { eigenvalues, type Matrix, norm, singularValues, type Vector } from "../math/recurrence/linear";
import { random } from "../math/recurrence/random";
import { atLastStep, type Activation, rnn, rnnBackward } from "../math/recurrence/rnn";
import { isDefective, type Kind, outcome, recurrentMatrix } from "../math/recurrence/spectrum";
import { choice, row, slider } from "../ui/controls";
import { h } from "../ui/dom";
import { equation } from "../ui/equation";
import { logarithmicAxis, stepAxis } from "../ui/axes";
import { curves, legend } from "../ui/lines";
import { matrix } from "../ui/matrix";
import { formatPower, number } from "../ui/numbers";
import { Plot, plot } from "../ui/plot";

const LONGEST = 100;
/** ∂L/∂h(N), of length 1. */
const GRADIENT: Vector = [0.6, 0.8];
const noise = random(7);
const INPUT = Array.from({ length: LONGEST + 1 }, () => [noise.normal()]);

/** ‖∂L/∂h(N−k)‖ for k = 0 … N, by backpropagation through an RNN with this matrix. */
function measured(hh: Matrix, steps: number, size: number, activation: Activation): number[] {
  const w = { hh, hx: [[1], [-0.5]], b: [0, 0] };
  const tokens = INPUT.slice(0, steps + 1).map(([value]) => [size * value]);
  const states = rnn(w, tokens, [0, 0], activation);
  return rnnBackward(w, states, [0, 0], atLastStep(steps + 1, GRADIENT), activation)
    .h.map(norm)
    .reverse();
}

export const spectrum: Section = {
  id: "spectrum",
  rows: ["R5"],
  title: "Exploding and vanishing gradients",
  statement:
    "Without the activation, the gradient N steps back is (W_{hh}ᵀ)^{N} ∂L/∂h(N). If W_{hh} = U Λ U^{−1}, its powers are U Λ^{N} U^{−1}: directions with |λ| < 1 vanish, directions with |λ| > 1 explode. So the largest |λ|, the spectral radius ρ, determines the long run.",
  task: "slide ρ through 1. Then make the matrix non-normal with ρ below 1: the gradient grows before it vanishes. Watch the condition number while you do both: does it tell you which will happen?",
  render(root) {
    const kind = choice<Kind>(
      "eigenvalues",
      { pair: "a complex pair ρ·e^(±iθ)", real: "two real ones, ρ and q·ρ" },
      "pair",
      () => draw(),
    );
    const radius = slider({ label: "spectral radius ρ", min: 0.5, max: 1.5, step: 0.01, value: 0.9 }, () => draw());
    const angle = slider({ label: "angle θ", min: 0, max: 180, step: 5, value: 30, unit: "°" }, () => draw());
    const ratio = slider({ label: "second eigenvalue q", min: -1, max: 1, step: 0.05, value: 0.1 }, () => draw());
    const shear = slider({ label: "non-normality", min: 0, max: 4, step: 0.1, value: 1 }, () => draw());
    const steps = slider({ label: "steps back N", min: 5, max: LONGEST, step: 5, value: 50 }, () => draw());
    const size = slider({ label: "size of the input", min: 0, max: 2, step: 0.1, value: 0.3 }, () => draw());
    const work = h("div", { "aria-live": "polite" });
    const powers = h("div", {});
    const weight = () =>
      recurrentMatrix(kind.value, radius.value, (angle.value * Math.PI) / 180, ratio.value, shear.value);
    const lines = () => {
      const w = weight();
      const back = Array.from({ length: steps.value + 1 }, (_, k) => k);
      const [largest] = singularValues(w);
      return {
        linear: measured(w, steps.value, size.value, "linear"),
        tanh: measured(w, steps.value, size.value, "tanh"),
        radius: back.map((k) => radius.value ** k),
        bound: back.map((k) => largest ** k),
      };
    };
    const gradient = plot("Gradient norm by number of steps back, on a logarithmic axis", () => {
      const { linear, tanh, radius: predicted, bound } = lines();
      // The bound of a non-normal matrix leaves the picture quickly.
      const values = [...linear, ...tanh, ...predicted].filter((value) => value > 0);
      const domain: [number, number] = [Math.max(1e-12, Math.min(...values)), Math.min(1e14, 30 * Math.max(...values))];
      const inside = (curve: number[]) =>
        curve.map((value) => (value >= domain[0] && value <= domain[1] ? value : NaN));
      return {
        x: stepAxis("steps back k", 0, steps.value),
        y: { ...logarithmicAxis("‖∂L/∂h(N−k)‖"), domain },
        marks: [
          Plot.ruleY([1], { stroke: "var(--line)" }),
          ...curves(
            [
              { name: "linear", values: inside(linear) },
              { name: "tanh", values: inside(tanh) },
              { name: "radius", values: inside(predicted) },
              { name: "bound", values: inside(bound) },
            ],
            { logarithmic: true },
          ),
        ],
      };
    });
    const circle = plot(
      "Eigenvalues (diamonds) in the complex plane, the unit circle, and the powers λ, λ², λ³, … of each (small dots)",
      () => {
        const points = eigenvalues(weight());
        const path = points.flatMap(({ re, im }, i) => {
          const [size, angle] = [Math.hypot(re, im), Math.atan2(im, re)];
          return Array.from({ length: 30 }, (_, k) => ({
            i,
            re: size ** (k + 1) * Math.cos(angle * (k + 1)),
            im: size ** (k + 1) * Math.sin(angle * (k + 1)),
          }));
        });
        const round = Array.from({ length: 121 }, (_, i) => [
          Math.cos((i * Math.PI) / 60),
          Math.sin((i * Math.PI) / 60),
        ]);
        return {
          height: 300,
          width: 300,
          aspectRatio: 1,
          x: { label: "real part", domain: [-1.6, 1.6], ticks: 5 },
          y: { label: "imaginary part", domain: [-1.6, 1.6], ticks: 5 },
          marks: [
            Plot.ruleX([0], { stroke: "var(--line)" }),
            Plot.ruleY([0], { stroke: "var(--line)" }),
            Plot.line(round, { x: "0", y: "1", stroke: "var(--quiet)", strokeWidth: 1.5 }),
            Plot.line(path, { x: "re", y: "im", z: "i", stroke: "var(--negative)", strokeOpacity: 0.5, clip: true }),
            Plot.dot(path, { x: "re", y: "im", r: 2.5, fill: "var(--negative)", clip: true }),
            Plot.dot(points, {
              x: "re",
              y: "im",
              r: 7,
              symbol: "diamond",
              fill: "var(--negative)",
              stroke: "var(--text)",
            }),
            Plot.text([[0, -1]], { x: "0", y: "1", text: () => "|λ| = 1", dy: 14, fill: "var(--quiet)" }),
          ],
        };
      },
    );
    function draw() {
      const w = weight();
      const [largest, smallest] = singularValues(w);
      const sizes = eigenvalues(w).map(({ re, im }) => Math.hypot(re, im));
      const all = lines();
      const longRun = outcome(w, radius.value);
      const singular = sizes[1] === 0;
      const ratioMeans = `neither: it is ${singular ? "infinite, since one eigenvalue is 0," : "the same"} for every ρ`;
      const highest = Math.max(...all.linear);
      const when = all.linear.indexOf(highest);
      const value = (text: string, amount: number, name: string, means: string) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, text),
          h("td", {}, number(amount, name, 4)),
          h("td", { class: "means" }, means),
        );
      work.replaceChildren(
        h(
          "div",
          { class: "columns" },
          circle.element,
          h(
            "div",
            {},
            matrix(w, { caption: "W_{hh}", digits: 3, name: (i, j) => `W[${i + 1}][${j + 1}]` }),
            h(
              "div",
              { class: "scroll", tabindex: "0", role: "region", "aria-label": "numbers of the matrix" },
              h(
                "table",
                { class: "facts" },
                h("caption", {}, "What each number predicts"),
                h(
                  "tbody",
                  {},
                  value("spectral radius ρ = max |λ|", radius.value, "radius", `the long run: the gradient ${longRun}`),
                  value(
                    "largest singular value σ₁",
                    largest,
                    "sigma",
                    largest > 1 ? "one step may make it grow, at most by this" : "no step can make it grow",
                  ),
                  value("condition number σ₁ / σ₂", largest / smallest, "condition", ratioMeans),
                  value("max |λ| / min |λ|", sizes[0] / sizes[1], "ratio", ratioMeans),
                ),
              ),
            ),
          ),
        ),
        h(
          "p",
          { class: `verdict ${longRun === "persists" ? "good" : "bad"}` },
          `ρ = ${radius.value.toFixed(2)}: without the activation the gradient ${longRun} in the long run. `,
          isDefective(w)
            ? "Both eigenvalues are equal and W has only one eigenvector, so W = U Λ U⁻¹ does not exist: ‖Wᴺ‖ grows as N·ρᴺ. "
            : "",
          when > 0 && radius.value < 1
            ? `Before that it grows to ${highest.toPrecision(3)} times its size, ${when} ${when === 1 ? "step" : "steps"} back: eigenvalues do not say so, the singular value does. `
            : "",
          `After ${steps.value} steps: linear `,
          number(all.linear.at(-1)!, "linear"),
          ", measured with tanh ",
          number(all.tanh.at(-1)!, "tanh"),
          ", ρᴺ ",
          number(all.radius.at(-1)!, "predicted"),
          ". The slope of tanh is at most 1, so the measured norm is usually below the linear one.",
        ),
      );
      const bases = [0.999, 1.001, radius.value];
      const ends = [1, 10, 100, 1000, 10000];
      powers.replaceChildren(
        matrix(
          bases.map((base) => ends.map((n) => base ** n)),
          {
            caption: "Powers of numbers close to 1",
            rowNames: ["0.999^{N}", "1.001^{N}", `ρ^{N}, ρ = ${radius.value.toFixed(2)}`],
            columnNames: ends.map((n) => `N = ${n.toLocaleString("en")}`),
            text: (i, j) => formatPower(bases[i], ends[j]),
            scale: 20,
            name: (i, j) => `power[${i}][${ends[j]}]`,
          },
        ),
      );
      angle.element.hidden = kind.value !== "pair";
      ratio.element.hidden = kind.value !== "real";
      gradient.update();
      circle.update();
    }
    root.append(
      row(kind, radius, angle, ratio, shear),
      row(steps, size),
      legend([
        "measured, linear RNN: ‖(W_{hh}ᵀ)^{k} ∂L/∂h(N)‖",
        "measured, tanh RNN",
        "prediction ρ^{k}",
        "bound σ₁^{k}",
      ]),
      gradient.element,
      work,
      h("h3", {}, "Why the condition number does not decide"),
      h(
        "p",
        {},
        "Multiply W by any number c: all eigenvalues and singular values are multiplied by c, and every ratio of them stays. So 0.5·W and 1.5·W have the same condition number, and the gradient of one vanishes while that of the other explodes. The slider of ρ does exactly this. A ratio only says how unevenly directions are scaled.",
      ),
      h("h3", {}, "Close to 1 is not 1"),
      h(
        "p",
        {},
        "Growth and decay are exponential in N: over a long sequence 0.999 and 1.001 differ by orders of magnitude.",
      ),
      equation("‖W^{N}‖^{1/N} → ρ for N → ∞,   ‖W^{N}‖ ≤ σ₁^{N} for every N"),
      powers,
    );
    draw();
  },
};
