// R14, R15: a trained LSTM and a trained TextCNN read the same text.

import { softmax } from "../math/softmax";
import {
  GATES,
  TITLES,
  facts,
  lstmSteps,
  occlusion,
  textcnn,
  type Gate,
  type ModelName,
  type Step,
} from "../model/classifier";
import type { Tokens } from "../model/tokenizer";
import { reader } from "../classifier/reader";
import type { Section } from "../page";
import { choice, row, stepper } from "../ui/controls";
import { h } from "../ui/dom";
import { matrix } from "../ui/matrix";
import { number, percent } from "../ui/numbers";
import { Plot, plot } from "../ui/plot";
import { tokenRow } from "../ui/tokens";

const WORDS: Record<Gate, string> = {
  input: "input gate i: how much of the candidate enters the cell",
  forget: "forget gate f: how much of the cell stays",
  candidate: "candidate g: what may enter the cell",
  output: "output gate o: how much of the cell is shown",
  c: "cell state c(t) = f · c(t−1) + i · g",
  h: "hidden state h(t) = o · tanh(c(t))",
};

export const classifier: Section = {
  id: "classifier",
  rows: ["R10", "R14", "R15"],
  title: "A trained LSTM reads your text",
  statement:
    "A recurrent network reads a text token by token and classifies it from its last state. Here an LSTM and a TextCNN have learned from the installed Python source which exception an error message belongs to. Every state and every gate can be read.",
  task: "type an error message word by word and watch the probabilities change. Which token decides? Put it at the start, then at the end: does the LSTM still notice it?",
  async render(root) {
    const known = await facts();
    const names = Object.keys(TITLES) as ModelName[];
    let tokens: Tokens = { ids: [], words: [] };
    let steps: Step[] = [];
    const table = h("div", { class: "scroll" });
    const tokenEffects = h("div");
    const states = h("div");
    const running = plot("Probability of each class after each token, LSTM", () => ({
      ...wordAxis(),
      y: { label: "probability", domain: [0, 1], grid: true },
      color: { legend: true, domain: known.classes },
      marks: [Plot.ruleY([0]), Plot.lineY(progress(), { x: "token", y: "probability", stroke: "class", marker: true })],
    }));
    const position = stepper("token", 1, 1, () => showStates(), 1);
    const shown = choice<Gate>("state or gate", WORDS, "forget", () => showGate());
    const gate = plot("Values of all units at all tokens", () => ({
      ...wordAxis(),
      y: {
        label: "unit",
        type: "band",
        tickFormat: (unit: number) => (unit && (unit + 1) % 4 ? "" : `${unit + 1}`),
        tickSize: 0,
      },
      color: { legend: true, label: shown.value, ...scaleOf(shown.value) },
      height: 360,
      marks: [
        Plot.cell(cells(), {
          x: "token",
          y: "unit",
          fill: "value",
          inset: 0.5,
          title: (d) => `${d.word}: ${d.value.toFixed(3)}`,
        }),
      ],
    }));
    const wordAxis = () => {
      const long = tokens.words.length > 8;
      return {
        x: {
          label: "token",
          type: "band" as const,
          tickFormat: (t: number) => tokens.words[t].slice(0, 14),
          tickSize: 0,
          tickRotate: long ? -60 : 0,
        },
        marginBottom: long ? 90 : 40,
      };
    };
    const progress = () =>
      steps.flatMap((step, t) =>
        softmax(step.logits).map((probability, k) => ({ token: t, probability, class: known.classes[k] })),
      );
    const cells = () =>
      steps.flatMap((step, t) =>
        step.gates[shown.value].map((value, unit) => ({ token: t, unit, value, word: tokens.words[t] })),
      );

    async function read(next: Tokens): Promise<void> {
      const [convolved, read] = await Promise.all([textcnn(next.ids, known.filters), lstmSteps(next.ids)]);
      tokens = next;
      steps = read;
      const logits: Record<ModelName, number[]> = { textcnn: convolved.logits, lstm: steps[steps.length - 1].logits };
      showTable(logits);
      await showEffects(logits);
      position.last = tokens.ids.length;
      position.value = position.last;
      showStates();
      showGate();
      running.update();
    }

    function showTable(logits: Record<ModelName, number[]>) {
      const shares = names.map((name) => softmax(logits[name]));
      const best = shares.map((each) => each.indexOf(Math.max(...each)));
      const cell = (m: number, k: number) => {
        const bar = h("td", { class: "bar" }, number(shares[m][k], `${names[m]}.${known.classes[k]}`, 3));
        bar.style.setProperty("--share", `${shares[m][k]}`);
        if (best[m] === k) bar.classList.add("winner");
        return bar;
      };
      table.replaceChildren(
        h(
          "table",
          {},
          h("caption", {}, "Probability of each exception"),
          h("thead", {}, h("tr", {}, h("td"), ...names.map((name) => h("th", { scope: "col" }, TITLES[name])))),
          h(
            "tbody",
            {},
            ...known.classes.map((text, k) =>
              h("tr", {}, h("th", { scope: "row" }, text), ...names.map((_, m) => cell(m, k))),
            ),
            h(
              "tr",
              {},
              h("th", { scope: "row" }, "accuracy on test messages"),
              ...names.map((name) => h("td", {}, percent(known.models[name].accuracy))),
            ),
          ),
        ),
      );
    }

    async function showEffects(logits: Record<ModelName, number[]>) {
      const parts: HTMLElement[] = [];
      for (const name of names) {
        const chosen = logits[name].indexOf(Math.max(...logits[name]));
        const effects = await occlusion(name, tokens.ids, known.blank, chosen);
        parts.push(
          h("p", { class: "label" }, `${TITLES[name]}, for ${known.classes[chosen]}`),
          tokenRow(tokens.words, effects, `${name}.occlusion`),
        );
      }
      tokenEffects.replaceChildren(...parts);
    }

    function showStates() {
      const step = steps[position.value - 1];
      const units = [...step.gates.h.keys()];
      states.replaceChildren(
        matrix(
          GATES.map((each) => step.gates[each]),
          {
            caption: `All gates and states at token ${position.value}, “${tokens.words[position.value - 1]}”, for each of the ${units.length} units`,
            rowNames: [...GATES],
            columnNames: units.map((unit) => `${unit + 1}`),
            scale: 1,
            name: (i, j) => `${GATES[i]}[${j}]`,
          },
        ),
      );
    }

    function showGate() {
      gate.update();
    }

    const results = h(
      "div",
      { class: "results" },
      table,
      h("h3", {}, "Which tokens matter"),
      h(
        "p",
        { class: "quiet" },
        "The logit of the predicted class less the logit with the token's embedding set to zero (occlusion). Blue tokens raise the logit of the class, orange ones lower it.",
      ),
      tokenEffects,
      running.element,
      h("h3", {}, "Inside the LSTM"),
      row(shown),
      gate.element,
      row(position),
      states,
    );
    root.append(await reader(known.examples, results, read), results);
  },
};

function scaleOf(gate: Gate): { domain: [number, number]; scheme: Plot.ColorScheme; type: "linear" | "diverging" } {
  const signed = gate === "candidate" || gate === "c" || gate === "h";
  return signed
    ? { domain: [-1, 1], scheme: "puor", type: "diverging" }
    : { domain: [0, 1], scheme: "blues", type: "linear" };
}
