// The text box that the sections on trained classifiers share: typed, pasted or chosen texts, read when they change.

import { tokenizer, type Tokens } from "../model/tokenizer";
import { button } from "../ui/controls";
import { h, unique } from "../ui/dom";

const LONGEST = 120;

/**
 * Return a text box with examples; `read` is called with the tokens of each new text, one call after the other.
 *
 * `results`, which shows what was read, is hidden while the text is empty or cannot be read.
 */
export async function reader(
  examples: readonly string[],
  results: HTMLElement,
  read: (tokens: Tokens) => Promise<void>,
): Promise<HTMLElement> {
  const tokens = await tokenizer();
  const id = unique("text");
  const note = h("p", { class: "quiet", role: "status" });
  const box = h("textarea", { id, spellcheck: "false", rows: "2" });
  box.value = examples[0];
  let newest = 0;
  let running = Promise.resolve();
  const changed = () => {
    const number = ++newest;
    running = running.then(async () => {
      if (number !== newest) return; // the text has changed since
      const all = tokens(box.value);
      const used = { ids: all.ids.slice(0, LONGEST), words: all.words.slice(0, LONGEST) };
      note.textContent = all.ids.length
        ? `${used.ids.length} tokens${all.ids.length > LONGEST ? ` (the first of ${all.ids.length})` : ""}`
        : "Type at least one word.";
      try {
        if (used.ids.length) await read(used);
        results.hidden = !used.ids.length;
      } catch (error) {
        results.hidden = true;
        note.textContent = `This text could not be read: ${String(error)}`;
        throw error;
      }
      box.dataset.read = box.value;
    });
    const done = running;
    running = running.catch(() => undefined); // the next text is read all the same
    return done;
  };
  box.addEventListener("input", () => void changed());
  const choices = examples.map((text) =>
    button(text, () => {
      box.value = text;
      void changed();
    }),
  );
  await changed();
  return h(
    "div",
    {},
    h("label", { for: id, class: "label" }, "An error message of a Python program"),
    box,
    note,
    h("p", { class: "label" }, "Examples"),
    h("div", { class: "controls" }, ...choices),
  );
}
