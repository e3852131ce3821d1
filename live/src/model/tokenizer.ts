// The tokenizer of the models: tokenizer.json of a run, read by @huggingface/tokenizers.

import { Tokenizer } from "@huggingface/tokenizers";
import { json } from "./assets";

export interface Tokens {
  ids: number[];
  /** As the tokenizer split the text; unknown words as they were written. */
  words: string[];
}

interface Saved {
  pre_tokenizer: { type: string };
  model: { unk_token: string };
}

const WORD = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";
/** The pre-tokenizer "Whitespace" of the Rust library, whose \w has the letters of all scripts. */
const WHITESPACE = {
  type: "Split",
  pattern: { Regex: `[${WORD}]+|[^${WORD}\\s]+` },
  behavior: "Removed",
  invert: true,
};

let loaded: Promise<(text: string) => Tokens> | undefined;

/** Return the function that splits a text. */
export function tokenizer(): Promise<(text: string) => Tokens> {
  loaded ??= json<Saved>("tokenizer.json").then((saved) => {
    const pre_tokenizer = saved.pre_tokenizer.type === "Whitespace" ? WHITESPACE : saved.pre_tokenizer;
    // A model of whole words reads its unknown token from the second argument.
    const inner = new Tokenizer({ ...saved, pre_tokenizer }, { unk_token: saved.model.unk_token });
    return (text: string) => {
      const { ids, tokens } = inner.encode(text);
      return { ids, words: tokens };
    };
  });
  return loaded;
}
