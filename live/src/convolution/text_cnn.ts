// C8: a trained TextCNN: what each filter detects, and which n-grams of a text activate it.

import { softmax } from "../math/softmax";
import { reader } from "../classifier/reader";
import { facts, occlusion, textcnn, type Convolved } from "../model/classifier";
import type { Tokens } from "../model/tokenizer";
import type { Section } from "../page";
import { button, choice, row, slider } from "../ui/controls";
import { h } from "../ui/dom";
import { format, number, percent } from "../ui/numbers";
import { Plot, plot } from "../ui/plot";
import { colour, matrix } from "../ui/matrix";
import { numbersTable } from "../ui/stems";
import { tokenRow } from "../ui/tokens";

const SHOWN = 6;
const OUTSIDE = "▫";

export const textCnn: Section = {
  id: "text-cnn",
  rows: ["C3", "C6", "C8"],
  title: "A trained text CNN finds n-grams",
  statement:
    "Filters of several widths read a text side by side; of each filter the largest activation remains, and a linear layer adds them up. So every filter is a detector of n-grams, and its weights show which classes it supports. This TextCNN has learned which exception an error message belongs to.",
  task: "choose a class, and read the n-grams of the filters with a positive weight for it. Then write a message that activates them, and one that fools the network.",
  async render(root) {
    const known = await facts();
    const accuracy = known.models.textcnn.accuracy;
    let tokens: Tokens = { ids: [], words: [] };
    let read: Convolved | undefined;
    const classes = Object.fromEntries(known.classes.map((name) => [name, name]));
    const chosen = choice<string>("class", classes, known.classes[known.classes.length - 1], () => show());
    const widths = Object.fromEntries(known.filters.map(({ width }, b) => [`${b}`, `${width} tokens`]));
    const width = choice<string>("width of the filter", widths, "0", () => showFilter());
    const unit = slider({ label: "filter", min: 0, max: known.filters[0].filters.length - 1, step: 1, value: 0 }, () =>
      showFilter(),
    );
    const probabilities = h("div", { class: "scroll" });
    const contributions = h("div", { class: "scroll" });
    const total = h("p", { class: "verdict", "aria-live": "polite" });
    const tokenEffects = h("div");
    const strongest = h("div");
    const activation = plot(
      "Activation of the chosen filter around each token of your text; the largest goes on",
      () => ({
        x: {
          label: "token",
          type: "band",
          tickFormat: (t: number) => tokens.words[t].slice(0, 14),
          tickSize: 0,
          tickRotate: tokens.words.length > 8 ? -60 : 0,
        },
        y: { label: "activation", grid: true, domain: [0, Math.max(1, ...activations())] },
        marginBottom: tokens.words.length > 8 ? 90 : 40,
        marks: [
          Plot.ruleY([0]),
          Plot.barY(activations(), {
            x: (_, t) => t,
            y: (d) => d,
            fill: (_, t) => (t === largest() ? "var(--negative)" : "var(--accent)"),
          }),
          Plot.text(activations(), {
            x: (_, t) => t,
            y: (d) => d,
            text: (d, t) => (t === largest() ? format(d, 2) : ""),
            dy: -8,
          }),
        ],
      }),
    );
    const block = () => Number(width.value);
    const activations = () => read?.blocks[block()].activation.map((each) => each[unit.value]) ?? [];
    const largest = () => read?.blocks[block()].index[unit.value] ?? -1;
    const classIndex = () => known.classes.indexOf(chosen.value);
    const filters = () =>
      known.filters.flatMap(({ filters, width: size }, b) => filters.map((each, f) => ({ ...each, size, b, f })));

    function show() {
      if (!read) return;
      const parts = contributionsTo(read, classIndex());
      choose(parts[0]);
      showContributions(parts);
      showTotal(parts, read);
      showStrongest();
    }

    function choose({ b, f }: { b: number; f: number }) {
      width.value = `${b}`;
      unit.value = f;
      showFilter();
    }

    function showProbabilities() {
      if (!read) return;
      const shares = softmax(read.logits);
      probabilities.replaceChildren(
        h(
          "table",
          {},
          h("caption", {}, `Probability of each exception (accuracy on test messages: ${percent(accuracy)})`),
          ...known.classes.map((text, k) => {
            const bar = h("td", { class: "bar" }, number(shares[k], `textcnn.${text}`, 3));
            bar.style.setProperty("--share", `${shares[k]}`);
            if (shares[k] === Math.max(...shares)) bar.classList.add("winner");
            return h("tr", {}, h("th", { scope: "row" }, text), bar);
          }),
        ),
      );
    }

    function ngram(start: number, size: number, before: number): string {
      return Array.from({ length: size }, (_, j) => tokens.words[start - before + j] ?? OUTSIDE).join(" ");
    }

    /** Activation · weight of every filter, the largest first. */
    function contributionsTo({ blocks }: Convolved, label: number) {
      const parts = filters().map(({ effects, size, b, f }) => {
        const value = blocks[b].largest[f];
        return { size, b, f, value, weight: effects[label], part: value * effects[label], t: blocks[b].index[f] };
      });
      return parts.sort((a, b) => Math.abs(b.part) - Math.abs(a.part));
    }

    function showTotal(parts: readonly { part: number }[], { logits }: Convolved) {
      const logit = logits[classIndex()];
      const sum = parts.reduce((all, { part }) => all + part, 0);
      total.replaceChildren(
        `All ${parts.length} filters together add `,
        number(sum, "score.filters", 2),
        ` to the score of ${chosen.value}, and its bias `,
        number(logit - sum, "score.bias", 2),
        ": the score is ",
        number(logit, "score", 2),
        ". Softmax turns the scores of all classes into probabilities.",
      );
    }

    async function showEffects(label: number, { ids, words: shown }: Tokens) {
      const effects = await occlusion("textcnn", ids, known.blank, label);
      tokenEffects.replaceChildren(
        h(
          "p",
          { class: "label" },
          `How much the score of ${known.classes[label]} falls without each token (occlusion)`,
        ),
        tokenRow(shown, effects, "textcnn.occlusion"),
      );
    }

    function showContributions(parts: ReturnType<typeof contributionsTo>) {
      const scale = Math.abs(parts[0].part);
      contributions.replaceChildren(
        h(
          "table",
          {},
          h(
            "caption",
            {},
            `Filters that add most to the score of ${chosen.value}, or take most from it, in your text (${OUTSIDE}: beyond its ends)`,
          ),
          head("n-gram in your text", "filter", "activation", "× weight", "= part of the score"),
          ...parts
            .slice(0, SHOWN)
            .map(({ size, b, f, value, weight, part, t }) =>
              h(
                "tr",
                {},
                h("td", { class: "ngram" }, ngram(t, size, Math.floor((size - 1) / 2))),
                h("td", {}, filterButton(size, b, f)),
                h("td", {}, number(value, `part.activation.${b}.${f}`, 2)),
                h("td", {}, format(weight, 2)),
                h("td", { style: `background:${colour(part, scale)}` }, number(part, `part.${b}.${f}`, 2)),
              ),
            ),
        ),
      );
    }

    function showStrongest() {
      const sorted = filters().sort((a, b) => b.effects[classIndex()] - a.effects[classIndex()]);
      strongest.replaceChildren(
        h(
          "p",
          { class: "label" },
          `Filters with the largest weights for ${chosen.value}, and the n-grams in all messages that activate them most, the strongest first`,
        ),
        h(
          "ul",
          { class: "filters" },
          ...sorted
            .slice(0, SHOWN)
            .map(({ effects, size, b, f, ngrams }) =>
              h(
                "li",
                {},
                filterButton(size, b, f),
                ` weight ${format(effects[classIndex()], 2)}: `,
                ...ngrams.map((each) => h("span", { class: "token" }, words(each.words))),
              ),
            ),
        ),
      );
    }

    const filterButton = (size: number, b: number, f: number) =>
      button(`${size} tokens, ${f}`, () => {
        choose({ b, f });
        width.element.scrollIntoView({ block: "nearest" });
      });

    const filterNgrams = h("p", {});
    const filterWeights = h("div");
    const numbers = h("div");
    function showFilter() {
      const { ngrams, effects } = known.filters[block()].filters[unit.value];
      filterWeights.replaceChildren(
        matrix([effects], {
          caption: "Weight of the filter for each class",
          columnNames: known.classes,
          scale: 0.6,
          name: (_, k) => `effect[${k}]`,
        }),
      );
      filterNgrams.replaceChildren(
        "Activated most by ",
        ...ngrams.map((each) => h("span", { class: "token" }, words(each.words), number(each.activation, "", 2))),
      );
      numbers.replaceChildren(
        numbersTable(
          "Activations as numbers",
          [{ label: "activation", values: activations(), name: (t) => `activation[${t}]` }],
          tokens.words,
        ),
      );
      activation.update();
    }

    const results = h(
      "div",
      { class: "results" },
      probabilities,
      tokenEffects,
      h("h3", {}, "The filters of a class"),
      row(chosen),
      contributions,
      total,
      strongest,
      h("h3", {}, "One filter"),
      row(width, unit),
      filterNgrams,
      filterWeights,
      activation.element,
      numbers,
    );
    root.append(
      await reader(known.examples, results, async (next) => {
        const result = await textcnn(next.ids, known.filters);
        const label = result.logits.indexOf(Math.max(...result.logits));
        await showEffects(label, next);
        read = result;
        tokens = next;
        chosen.value = known.classes[label];
        showProbabilities();
        show();
      }),
      results,
    );
  },
};

const head = (...names: string[]) =>
  h(
    "thead",
    {},
    h(
      "tr",
      {},
      ...names.map((name) => h("th", { scope: "col", ...(name.startsWith("n-gram") && { class: "ngram" }) }, name)),
    ),
  );
const words = (ngram: readonly string[]) => ngram.map((word) => word || OUTSIDE).join(" ");
