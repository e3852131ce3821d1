// The tokenizer of the models: tokenizer.json of a run, read by @huggingface/tokenizers.

import { Tokenizer } from "@huggingface/tokenizers";
import { json } from "./assets";

export interface Tokens {
  ids: number[];
  /** As the tokenizer split the text; unknown words as they were written. */
  words: string[];
}

let loaded: Promise<(text: string) => Tokens> | undefined;

/** Return the function that splits a text. */
export function tokenizer(): Promise<(text: string) => Tokens> {
  loaded ??= json<object>("tokenizer.json").then((saved) => {
    const inner = new Tokenizer(saved, {});
    return (text: string) => {
      const { ids, tokens } = inner.encode(text);
      return { ids, words: tokens };
    };
  });
  return loaded;
}
