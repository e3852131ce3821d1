// The trained classifiers: probabilities, values inside, and the effect of each token.

import { json } from "./assets";
import { int64, ort, rows, session } from "./runtime";

export interface Ngram {
  /** Words; "" is a place before the start or after the end of a text. */
  words: string[];
  activation: number;
  count: number;
}

export interface Filter {
  ngrams: Ngram[];
  /** Change of the logit of each class for each unit of activation. */
  effects: number[];
}

export interface Facts {
  classes: string[];
  /** Token id whose embedding is zero. */
  blank: number;
  examples: string[];
  models: Record<ModelName, { accuracy: number; low: number; high: number; testRows: number; parameters: number }>;
  filters: { name: string; width: number; filters: Filter[] }[];
}

export type ModelName = "textcnn" | "lstm";
export const TITLES: Record<ModelName, string> = { textcnn: "TextCNN", lstm: "LSTM" };

export const facts = (): Promise<Facts> => json<Facts>("classifiers.json");

/** States and gates of the LSTM, by the names of `layer.trace`. */
export const GATES = ["input", "forget", "candidate", "output", "c", "h"] as const;
export type Gate = (typeof GATES)[number];

/** What the LSTM computes at one token. */
export interface Step {
  logits: number[];
  gates: Record<Gate, number[]>;
}

const HIDDEN = "recurrent.";

/** Read a text with the LSTM, token by token; the state goes from call to call. */
export async function lstmSteps(ids: readonly number[]): Promise<Step[]> {
  const model = await session("lstm.onnx");
  let state = await emptyState(1);
  const steps: Step[] = [];
  for (const id of ids) {
    const output = await model.run({ tokens: int64([id], [1, 1]), ...state });
    state = stateOf(output);
    const gates = Object.fromEntries(GATES.map((gate) => [gate, rows(output[HIDDEN + gate])[0]]));
    steps.push({ logits: rows(output.logits)[0], gates: gates as Record<Gate, number[]> });
  }
  return steps;
}

async function emptyState(batch: number): Promise<Record<string, ort.Tensor>> {
  const model = await session("lstm.onnx");
  const shapes = model.inputMetadata.flatMap((input) => (input.isTensor && input.name !== "tokens" ? [input] : []));
  return Object.fromEntries(
    shapes.map(({ name, shape }) => {
      const size = shape.map((each) => (typeof each === "number" && each > 0 ? each : batch));
      return [name, new ort.Tensor("float32", new Float32Array(size.reduce((a, b) => a * b, 1)), size)];
    }),
  );
}

function stateOf(output: ort.InferenceSession.ReturnType): Record<string, ort.Tensor> {
  const after = Object.entries(output).filter(([name]) => name.endsWith("_n"));
  return Object.fromEntries(after.map(([name, value]) => [name.replace(/_n$/, "_0"), value as ort.Tensor]));
}

/** What the TextCNN computes for a text. */
export interface Convolved {
  logits: number[];
  /** For each kernel width: (tokens, filters) activations, and for each filter the largest and its token. */
  blocks: { activation: number[][]; largest: number[]; index: number[] }[];
}

/** Read a text with the TextCNN, as a whole. */
export async function textcnn(ids: readonly number[], blocks: readonly { name: string }[]): Promise<Convolved> {
  const output = await (await session("textcnn.onnx")).run(texts([ids]));
  return {
    logits: rows(output.logits)[0],
    blocks: blocks.map(({ name }) => ({
      activation: rows(output[`${name}.activation`]),
      largest: rows(output[`${name}.pool`])[0],
      index: rows(output[`${name}.pool.index`])[0],
    })),
  };
}

const texts = (batch: readonly (readonly number[])[]): Record<string, ort.Tensor> => ({
  tokens: int64(batch.flat(), [batch.length, batch[0].length]),
  lengths: int64(
    batch.map((ids) => ids.length),
    [batch.length],
  ),
});

/** Return the logit of a class less that without each token, whose embedding is set to zero. */
export async function occlusion(
  name: ModelName,
  ids: readonly number[],
  blank: number,
  chosen: number,
): Promise<number[]> {
  const variants = [ids, ...ids.map((_, t) => ids.with(t, blank))];
  const inputs = texts(variants);
  if (name === "lstm") {
    delete inputs.lengths;
    Object.assign(inputs, await emptyState(variants.length));
  }
  const output = await (await session(`${name}.onnx`)).run(inputs);
  const [whole, ...others] = rows(output.logits).map((logits) => logits[chosen]);
  return others.map((each) => whole - each);
}
